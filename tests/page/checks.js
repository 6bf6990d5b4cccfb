// What is wrong with the page as it is shown now, as a list of sentences. Injected by check_page.py.
(() => {
  "use strict";
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shown = (element) => element.checkVisibility({ checkVisibilityCSS: true });
  const name = (element) => `<${element.localName} class="${element.getAttribute("class") || ""}"> "${element.textContent.trim().slice(0, 40)}"`;

  // No scrolling sideways but inside boxes made for it.
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    wrong.push(`the page is ${document.documentElement.scrollWidth} wide on a screen of ${width}`);
  }

  // Text of pictures is as large as on the rest of the page, and inside its picture.
  for (const svg of all("svg").filter(shown)) {
    const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    for (const text of svg.querySelectorAll("text")) {
      const size = parseFloat(getComputedStyle(text).fontSize) * scale, place = text.getBoundingClientRect();
      if (size < 11) wrong.push(`text of ${size.toFixed(1)} px: ${name(text)}`);
      if (place.left < box.left - 16 || place.right > box.right + 16 || place.top < box.top - 2 || place.bottom > box.bottom + 2) {
        wrong.push(`outside its picture: ${name(text)}`);
      }
    }
  }

  // Contrast of every text with what lies behind it (WCAG 2.1, 1.4.3), and of marks (1.4.11).
  const parse = (color) => {
    const numbers = (color.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
    return numbers.length === 3 ? [...numbers, 1] : numbers;
  };
  const luminance = (color) => color.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] > 0) return color;
    }
    return [255, 255, 255, 1];
  };
  const contrast = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const worst = new Map();
  const weigh = (element, color, needed) => {
    const ratio = contrast(parse(color), behind(element));
    const key = `${element.localName}.${element.getAttribute("class")}`;
    if (ratio < needed && !worst.has(key)) worst.set(key, `contrast ${ratio.toFixed(2)} of ${color} below ${needed}: ${name(element)}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !shown(element)) continue;
    const style = getComputedStyle(element);
    weigh(element, element.localName === "text" ? style.fill : style.color, 4.5);
  }
  for (const mark of all("svg .mark, svg .curve, svg .bar, svg .front, svg .whisker").filter(shown)) {
    const style = getComputedStyle(mark);
    weigh(mark, mark.matches(".mark") ? style.fill : style.stroke, 3);
  }
  wrong.push(...worst.values());

  // Structure.
  const ids = new Set();
  for (const element of all("[id]")) {
    if (ids.has(element.id)) wrong.push(`id twice: ${element.id}`);
    ids.add(element.id);
  }
  for (const attribute of ["aria-labelledby", "aria-describedby"]) {
    for (const element of all(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(" ")) if (!ids.has(id)) wrong.push(`${attribute} of nothing: ${id}`);
    }
  }
  let level = 0;
  for (const heading of all("h1, h2, h3, h4")) {
    const own = Number(heading.localName[1]);
    if (own > level + 1) wrong.push(`heading skips a level: ${name(heading)}`);
    level = own;
  }
  if (all("h1").length !== 1 || all("main").length !== 1) wrong.push("not exactly one h1 and one main");
  if (!document.documentElement.lang) wrong.push("no language");
  for (const svg of all("svg")) {
    if (svg.getAttribute("role") !== "img" || !svg.querySelector(":scope > title").textContent.trim()) wrong.push("a picture without a name");
  }
  for (const figure of all("figure.plot")) if (!figure.querySelector("details table")) wrong.push("a plot without its numbers");
  for (const box of all("*")) {
    const style = getComputedStyle(box);
    if (/auto|scroll/.test(style.overflowX + style.overflowY) && box.scrollWidth > box.clientWidth + 1 && box.tabIndex < 0) {
      wrong.push(`scrolls, but not by keyboard: ${name(box)}`);
    }
  }
  for (const cell of all("th")) if (!cell.scope) wrong.push(`head cell without scope: ${name(cell)}`);
  for (const table of all("table")) if (!table.caption || !table.caption.textContent.trim()) wrong.push("a table without caption");

  // Texts of models were not taken for markup.
  if (window.hacked !== undefined || all("img, iframe, object, embed").length) wrong.push("foreign markup on the page");
  return wrong;
})();
