// What a person who does not see the page, or has no mouse, needs of it. Each finding: a rule's name, and where.
'use strict';

/** All elements that match, as an array. */
const all = (root, selector) => [...root.querySelectorAll(selector)];
/** An element as a person can find it. */
const shown = (element) => element.outerHTML.replace(/\s+/g, ' ').slice(0, 120);
const hasWords = (text) => /\S/.test(text ?? '');

/** The name that assistive technology reads out, as far as these pages need it. */
function name(element) {
  const by = (element.getAttribute('aria-labelledby') ?? '').split(/\s+/).filter(Boolean);
  const labels = by.map((id) => element.ownerDocument.getElementById(id)?.textContent);
  const own = [element.getAttribute('aria-label'), element.getAttribute('alt'), ...labels];
  const title = element.querySelector(':scope > title')?.textContent;
  const images = all(element, 'img, svg').map((image) => name(image));
  return [...own, title, element.matches('svg, img') ? '' : element.textContent, ...images].find(hasWords) ?? '';
}

const hidden = (element) => element.closest('[aria-hidden=true], [role=presentation], [role=none]') !== null;

const rules = {
  'language': (doc) => (doc.documentElement.lang ? [] : [doc.documentElement]),
  'title': (doc) => (hasWords(doc.title) ? [] : [doc.head]),
  'text alternative': (doc) =>
    all(doc, 'img, svg, [role=img]').filter(
      (image) => !hidden(image) && !image.parentElement.closest('svg') && !name(image)),
  'name of a link or control': (doc) =>
    all(doc, 'a[href], button, input, select, textarea, summary, [role=region]').filter((control) => !name(control)),
  'order of headings': (doc) => {
    const headings = all(doc, 'h1, h2, h3, h4, h5, h6');
    const level = (heading) => Number(heading.tagName[1]);
    const skips = headings.filter((heading, n) => level(heading) > (n ? level(headings[n - 1]) : 0) + 1);
    return all(doc, 'h1').length === 1 ? skips : [...skips, doc.body];
  },
  'landmark': (doc) => {
    const mains = all(doc, 'main');
    const inside = 'main, nav, header, footer, aside, script, style, a.skip';
    const outside = [...doc.body.children].filter((child) => !child.matches(inside) && hasWords(child.textContent));
    const navigations = all(doc, 'nav');
    const unnamed = navigations.length > 1 ? navigations.filter((nav) => !name_of_landmark(nav)) : [];
    return [...(mains.length === 1 ? [] : [doc.body]), ...outside, ...unnamed];
  },
  'duplicate id': (doc) => {
    const seen = new Set();
    return all(doc, '[id]').filter((element) => seen.size === seen.add(element.id).size);
  },
  'header of a table': (doc) =>
    all(doc, 'table').filter((table) => {
        const first = [...(table.rows[0]?.cells ?? [])];
      const columns = first.every((cell) => cell.matches('th') || !hasWords(cell.textContent));
      const rows = [...table.rows].every((row) => row.cells[0]?.matches('th'));
      return !columns && !rows;
    }),
  'reached by the keyboard': (doc) =>
    all(doc, 'a[href], button, input, select, textarea, summary, [tabindex]').filter((control) => {
      control.focus();
      return control.tabIndex !== 0 || doc.activeElement !== control || !isVisible(control);
    }),
  'scrolled by the keyboard': (doc) =>
    all(doc, 'body *').filter((element) => {
      const style = view(element).getComputedStyle(element);
      const scrolls = /auto|scroll/.test(style.overflowX + style.overflowY);
      const longer = element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
      return scrolls && longer && element.tabIndex !== 0 && !element.querySelector('a[href], button, summary');
    }),
  'contrast': (doc) => textElements(doc).filter((element) => contrast(element) < required(element) - 0.005),
};

const name_of_landmark = (element) => element.getAttribute('aria-label') ?? element.getAttribute('aria-labelledby');
const view = (element) => element.ownerDocument.defaultView;

function isVisible(element) {
  const box = element.getBoundingClientRect();
  return element.checkVisibility({ visibilityProperty: true }) && box.width > 0 && box.height > 0;
}

/** The elements that have words of their own, on the screen. */
function textElements(doc) {
  const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && hasWords(node.data));
  const silent = 'script, style, title, desc';
  return all(doc, 'body *').filter((element) => own(element) && !element.matches(silent) && isVisible(element));
}

/** Red, green, blue from 0 to 1, and opacity, of a colour as the browser computes it. */
function parse(color) {
  const canvas = (parse.canvas ??= document.createElement('canvas').getContext('2d', { willReadFrequently: true }));
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = 'rgba(0, 0, 0, 0)';
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
  return [red / 255, green / 255, blue / 255, alpha / 255];
}

const over = ([r, g, b, a], below) => [r, g, b].map((value, n) => value * a + below[n] * (1 - a)).concat(1);

function luminance(color) {
  const [r, g, b] = color.map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** What is painted behind an element: in a picture, whatever may be, for a text may lie on several rectangles. */
function backgrounds(element) {
  const style = (painted) => view(painted).getComputedStyle(painted);
  const scheme = style(element.ownerDocument.documentElement).colorScheme;
  const dark = /dark/.test(scheme) && view(element).matchMedia('(prefers-color-scheme: dark)').matches;
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    if (!(at instanceof view(at).SVGElement) || at.matches('svg')) layers.push(parse(style(at).backgroundColor));
  }
  const below = layers.reverse().reduce((lower, layer) => over(layer, lower), dark ? parse('#121212') : [1, 1, 1, 1]);
  return element.closest('svg') ? onRectangles(element, below, style) : [below];
}

/** The colours that a text in a picture touches: of the rectangles painted before it, and of what they leave. */
function onRectangles(text, below, style) {
  const box = text.getBoundingClientRect();
  let touched = [below];
  for (const shape of all(text.closest('svg'), 'rect')) {
    const place = shape.getBoundingClientRect();
    const across = Math.min(box.right, place.right) - Math.max(box.left, place.left);
    const down = Math.min(box.bottom, place.bottom) - Math.max(box.top, place.top);
    const { fill, fillOpacity, opacity } = style(shape);
    const later = shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_PRECEDING;
    if (later || across <= 0 || down <= box.height / 3 || /^(none|url)/.test(fill) || shape.closest('defs')) continue;
    const [r, g, b, alpha] = parse(fill);
    const painted = over([r, g, b, alpha * fillOpacity * opacity], below);
    const whole = across >= box.width - 1 && down >= box.height * 0.6;
    touched = whole ? [painted] : [...touched, painted];
  }
  return touched;
}

/** Against the worst of what may be behind it. */
function contrast(element) {
  const style = view(element).getComputedStyle(element);
  return Math.min(...backgrounds(element).map((behind) => {
    const ink = over(parse(element.closest('svg') ? style.fill : style.color), behind);
    const [light, dark] = [luminance(ink), luminance(behind)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  }));
}

/** As WCAG 2.2 AA asks: less of large letters. */
function required(element) {
  const style = view(element).getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  return size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
}

/** Of a desk, of a narrow window, of a telephone. */
const WIDTHS = [1280, 700, 390];

/** A page as it stands when everything that can be folded is open. */
async function open(page) {
  const frame = document.createElement('iframe');
  frame.style = 'border: 0';
  frame.srcdoc = page;
  const loaded = new Promise((done) => frame.addEventListener('load', done));
  document.body.append(frame);
  await loaded;
  const doc = frame.contentDocument;
  all(doc, 'details').forEach((details) => (details.open = true));
  return frame;
}

/** As wide as that, and as long as the page is then. */
function resize(frame, width) {
  frame.style.width = `${width}px`;
  frame.style.height = '800px';
  frame.style.height = `${frame.contentDocument.documentElement.scrollHeight}px`;
}

async function check(pages) {
  const lines = new Set();
  for (const [title, page] of pages) {
    const frame = await open(page);
    for (const width of WIDTHS) {
      resize(frame, width);
      for (const [rule, findings] of Object.entries(rules)) {
        findings(frame.contentDocument).forEach((element) => lines.add(`${title}: ${rule}: ${shown(element)}`));
      }
    }
    frame.remove();
  }
  return [...lines];
}

check(pages)
  .catch((error) => [`the checker: it stumbled: ${error.stack}`])
  .then((lines) => {
    const scheme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
    document.body.textContent = `LOOKED AT ${pages.length} IN ${scheme}\n${lines.join('\n')}\nEND OF FINDINGS`;
  });
