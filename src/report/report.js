const number = text => {
  const [, value, unit] = text.match(/^([-+]?[\d.]+)(?:\s*([kMG])\b)?/) ?? [];
  return value === undefined ? NaN : value * ({ k: 1e3, M: 1e6, G: 1e9 }[unit] ?? 1);
};
document.querySelectorAll("th").forEach(title => title.addEventListener("click", () => {
  const body = title.closest("table").tBodies[0], column = title.cellIndex;
  const order = title.dataset.order === "up" ? -1 : 1;
  title.dataset.order = order === 1 ? "up" : "down";
  const text = row => row.cells[column].textContent;
  const compare = (a, b) => number(text(a)) - number(text(b)) || text(a).localeCompare(text(b));
  body.append(...[...body.rows].sort((a, b) => order * compare(a, b)));
}));
