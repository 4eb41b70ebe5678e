#!/bin/sh
# Installs the real servers that tests run against, when run as root on Debian; elsewhere says which tests are skipped.
# No server is started or enabled here: fixtures start their own on loopback, with folders of their own.
# Quick and silent when all is there.
set -eu

missing=""
need() { # PACKAGE TEST-COMMAND...
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
has_postgresql() { ls /usr/lib/postgresql/*/bin/initdb; }
has_libfaketime() { ls /usr/lib/*/faketime/libfaketimeMT.so.1; }
has_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

PATH="$PATH:/usr/sbin:/sbin"
need postfix command -v postfix
need postgresql has_postgresql
need chromium has_chromium
need sqlite3 command -v sqlite3
need opendkim command -v opendkim
need rspamd command -v rspamd
need dovecot-imapd command -v dovecot
need dovecot-pop3d test -x /usr/lib/dovecot/pop3
need dovecot-lmtpd test -x /usr/lib/dovecot/lmtp
need curl command -v curl
need nginx-light command -v nginx
need caddy command -v caddy
need strace command -v strace
need age command -v age
need gpg command -v gpg
need gpg-agent command -v gpg-agent
need postgresql-client command -v pg_dump
need faketime command -v faketime
need libfaketime has_libfaketime
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Tests that need these are skipped (run as root on Debian to have them installed):$missing" >&2
    exit 0
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    # Debian asks this file before it starts a server that it has just installed; 101 means no.
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
echo "Installing for the tests:$missing" >&2
case "$missing" in
*postfix*)
    if command -v debconf-set-selections >/dev/null 2>&1; then
        echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
    fi
    ;;
esac
# shellcheck disable=SC2086  # the names are separate words
if ! { apt-get -qq update && apt-get -qq -y --no-install-recommends install $missing >/dev/null; }; then
    echo "Not everything could be installed:$missing. Tests that need what is missing are skipped." >&2
fi
