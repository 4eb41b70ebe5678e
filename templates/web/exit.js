// Leaves at once, so that "back" does not return: by the link, or by Shift three times within five seconds.
(function () {
  "use strict";
  var link = document.querySelector("a.exit");
  var hint = document.getElementById("exit-keys");
  var presses = 0, last = 0, combined = false;
  if (!link) { return; }
  function leave(event) {
    if (event) { event.preventDefault(); }
    document.documentElement.hidden = true;
    document.title = "";
    window.location.replace(link.href);
  }
  link.addEventListener("click", leave);
  document.addEventListener("keydown", function (event) {
    if (event.key === "Shift") {
      if (!event.repeat) { combined = event.ctrlKey || event.altKey || event.metaKey; }
    } else {
      combined = true;
      presses = 0;
    }
  });
  document.addEventListener("keyup", function (event) {
    if (event.key !== "Shift" || combined) { return; }
    presses = event.timeStamp - last < 5000 ? presses + 1 : 1;
    last = presses === 1 ? event.timeStamp : last;
    if (presses >= 3) { leave(); }
  });
  if (hint) { hint.hidden = false; }
})();
