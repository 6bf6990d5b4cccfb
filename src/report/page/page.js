"use strict";
// Details of tokens. What it shows is read from the passage's own table, which stands on the page without it.
for (const passage of document.querySelectorAll(".passage")) {
  const tokens = [...passage.querySelector(".tokens").children];
  const rows = passage.querySelector(".rows tbody").rows;
  const heads = passage.querySelector(".rows thead").rows[0].cells;
  const card = passage.querySelector(".card");
  let shown = -1;

  const column = (row, cell) => {
    const box = document.createElement("div"), head = document.createElement("b");
    head.textContent = heads[cell].textContent;
    box.append(head, ...[...row.cells[cell].childNodes].map((node) => node.cloneNode(true)));
    return box;
  };
  const show = (index) => {
    if (shown === index) return;
    shown = index;
    const row = rows[index], line = document.createElement("q"), choices = document.createElement("div");
    line.textContent = row.cells[1].textContent;
    choices.append(column(row, 3), column(row, 4));
    card.replaceChildren(line, ` ${heads[2].textContent}: ${row.cells[2].textContent}`, choices);
    card.hidden = false;
    const token = tokens[index], room = passage.clientWidth - card.offsetWidth;
    card.style.left = getComputedStyle(card).position === "fixed" ? "" : `${Math.max(0, Math.min(token.offsetLeft, room))}px`;
    card.style.top = getComputedStyle(card).position === "fixed" ? "" : `${token.offsetTop + token.offsetHeight + 6}px`;
  };
  const hide = () => {
    shown = -1;
    card.hidden = true;
  };
  const move = (index) => {
    const next = tokens[Math.max(0, Math.min(tokens.length - 1, index))];
    tokens.forEach((token) => { token.tabIndex = token === next ? 0 : -1; });
    next.focus();
  };

  tokens.forEach((token, index) => {
    token.tabIndex = index === 0 ? 0 : -1;
    token.setAttribute("role", "button");
    token.setAttribute("aria-label", rows[index].cells[1].textContent);
    token.setAttribute("aria-describedby", card.id);
    token.addEventListener("mouseenter", () => show(index));
    token.addEventListener("focus", () => show(index));
    token.addEventListener("click", () => move(index));
    token.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: index + 1, ArrowDown: index + 1, ArrowLeft: index - 1, ArrowUp: index - 1, Home: 0, End: tokens.length };
      if (event.key === "Escape") hide();
      if (!(event.key in steps)) return;
      event.preventDefault();
      move(steps[event.key]);
    });
  });
  passage.addEventListener("mouseleave", hide);
  passage.addEventListener("focusout", (event) => { if (!passage.contains(event.relatedTarget)) hide(); });
}
// On paper the plots' numbers stand below them.
const unfolded = [];
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.data:not([open])")) {
    details.open = true;
    unfolded.push(details);
  }
});
addEventListener("afterprint", () => {
  for (const details of unfolded.splice(0)) details.open = false;
});
