// Sortable tables and a copy button; without this script the page reads the same.
"use strict";

const compare = new Intl.Collator(undefined, { numeric: true }).compare;

function keyOf(row, column) {
  const cell = row.cells[column];
  return "sort" in cell.dataset ? cell.dataset.sort : cell.textContent.trim();
}

function sortBy(table, header) {
  const up = header.getAttribute("aria-sort") === "descending";
  const column = header.cellIndex;
  const order = (a, b) => {
    const [x, y] = [keyOf(a, column), keyOf(b, column)];
    if (x === "" || y === "") return (x === "") - (y === ""); // missing goes last
    const numbers = [Number(x), Number(y)];
    const both = numbers.every((n) => !Number.isNaN(n));
    const difference = both ? numbers[0] - numbers[1] : compare(x, y);
    return up ? difference : -difference;
  };
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(order));
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sortBy(table, header));
  }
}

for (const button of document.querySelectorAll("button.copy")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copies).textContent;
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  });
}
