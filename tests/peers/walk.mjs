// Walks through pages of the site in Chromium as people do, and looks at each: axe in both schemes, and its width.
//
//   node walk.mjs walks.json    in a folder whose node_modules has axe-core and playwright-core
//
// walks.json: {"base": URL, "walks": [{"name", "script": true|false, "steps": [[verb, ...]]}], "pictures": folder or ""}
// Verbs: goto PATH; click NAME (a button or link); fill SELECTOR TEXT; check SELECTOR; uncheck SELECTOR; see TEXT;
// look NAME. Prints what was looked at as JSON.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(path.resolve('package.json')));
const { chromium } = require('playwright-core');
const axeSource = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const { base, walks, pictures } = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const WIDTHS = [320, 360, 1280];

async function axe(page) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(async () => (await axe.run(document, { resultTypes: ['violations'] })).violations);
  return found.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' | ')}`);
}

async function look(walked, scan, walk, name) {
  // Where script is off axe cannot run: it looks at the same page in another tab.
  const page = scan ?? walked;
  if (scan) await scan.setContent(await walked.content());
  const seen = { walk, name, axe: {}, overflow: [], title: await page.title(), text: await page.innerText('body') };
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    seen.axe[scheme] = await axe(page);
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      if ((await page.evaluate(() => document.documentElement.scrollWidth)) > width) seen.overflow.push(width);
      if (pictures && width !== 320)
        await page.screenshot({ path: path.join(pictures, `${walk}-${name}-${scheme}-${width}.png`), fullPage: true });
    }
  }
  return seen;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
const report = { looks: [], foreign: [], errors: [] };
for (const { name, script, steps } of walks) {
  const context = await browser.newContext({ baseURL: base, javaScriptEnabled: script });
  context.setDefaultTimeout(5000);
  const page = await context.newPage();
  const scan = script ? null : await (await browser.newContext()).newPage();
  page.on('request', (r) => { if (!r.url().startsWith(base)) report.foreign.push(r.url()); });
  page.on('console', (m) => { if (m.type() === 'error' && !m.text().includes('status of')) report.errors.push(m.text()); });
  for (const [verb, first, second] of steps) {
    try {
      if (verb === 'goto') await page.goto(first, { waitUntil: 'networkidle' });
      else if (verb === 'click') {
        const named = page.getByRole('button', { name: first }).or(page.getByRole('link', { name: first }));
        await Promise.all([page.waitForLoadState('load'), named.first().click()]);
      } else if (verb === 'fill') await page.fill(first, second);
      else if (verb === 'check') await page.check(first);
      else if (verb === 'uncheck') await page.uncheck(first);
      else if (verb === 'see') await page.getByText(first).first().waitFor();
      else if (verb === 'look') report.looks.push(await look(page, scan, name, first));
      else throw new Error(`no such verb: ${verb}`);
    } catch (error) {
      report.errors.push(`${name}: ${verb} ${first}: ${error.message.split('\n')[0]} on: ${(await page.innerText('body')).slice(0, 300)}`);
      break;
    }
  }
  report.cookies = (report.cookies ?? 0) + (await context.cookies()).length;
  await context.close();
}
await browser.close();
console.log(JSON.stringify(report));
