// The wall: tiles are cells of a grid, moved through by arrow keys; a chosen one is told beside it, and shown on request.
(() => {
  "use strict";
  const wall = document.getElementById("wall");
  if (!wall) return;
  const grid = wall.querySelector(".wall-grid");
  const columns = Number(grid.dataset.columns);
  const tiles = [...grid.querySelectorAll(".tile")];
  const items = [...wall.querySelectorAll(".wall-list li")];
  const clip = document.getElementById("wall-shown");
  const cursor = wall.querySelector(".wall-cursor");
  const panel = wall.querySelector(".wall-panel");
  const large = wall.querySelector(".wall-large");
  const button = panel.querySelector("button");
  const what = wall.querySelector(".wall-what");
  const all = document.getElementById("reveal-all");
  const status = document.getElementById("status");
  const shown = new Map(); // number of a tile -> what lets it through
  let chosen = 0;

  const place = (number) => [number % columns, Math.floor(number / columns)];
  const told = (number) => items[number].querySelector(".what").textContent;
  const isShown = (number) => shown.has(number) || Boolean(all && all.checked);

  function name(number) {
    tiles[number].setAttribute("aria-label", `${number + 1}, ${told(number)}${isShown(number) ? ", shown" : ", blurred"}`);
  }

  function tell() {
    const [x, y] = place(chosen);
    large.setAttribute("viewBox", `${x + 0.03} ${y + 0.03} 0.94 0.94`);
    large.firstElementChild.setAttribute("href", isShown(chosen) ? "#wall-sharp" : "#wall-blurred");
    button.textContent = isShown(chosen) ? "Blur it" : "Show it";
    button.setAttribute("aria-pressed", String(isShown(chosen)));
    button.hidden = Boolean(all && all.checked);
    name(chosen);
  }

  function choose(number) {
    tiles[chosen].setAttribute("tabindex", "-1");
    chosen = number;
    tiles[chosen].setAttribute("tabindex", "0");
    const [x, y] = place(chosen);
    cursor.setAttribute("x", x);
    cursor.setAttribute("y", y);
    cursor.setAttribute("visibility", "visible");
    what.replaceChildren(...[...items[chosen].cloneNode(true).childNodes]);
    panel.hidden = false;
    tell();
  }

  function toggle() {
    if (all && all.checked) return;
    if (shown.has(chosen)) {
      shown.get(chosen).remove();
      shown.delete(chosen);
    } else {
      const [x, y] = place(chosen);
      const hole = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [key, value] of Object.entries({ x, y, width: 1, height: 1 })) hole.setAttribute(key, value);
      clip.append(hole);
      shown.set(chosen, hole);
    }
    tell();
    if (status) status.textContent = `Picture ${chosen + 1} is ${isShown(chosen) ? "shown" : "blurred again"}`;
  }

  // A panel that sticks to the window's edge must not lie upon the tile that it tells of.
  function uncover() {
    tiles[chosen].scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
    const { top, height } = panel.getBoundingClientRect();
    const below = tiles[chosen].getBoundingClientRect().bottom - Math.min(top, window.innerHeight - height);
    if (below > 0) window.scrollBy({ top: below + 8, behavior: "instant" });
  }

  function moved(key, far) {
    const [x] = place(chosen);
    const last = tiles.length - 1;
    switch (key) {
      case "ArrowLeft": return x > 0 ? chosen - 1 : chosen;
      case "ArrowRight": return x < columns - 1 ? Math.min(chosen + 1, last) : chosen;
      case "ArrowUp": return chosen >= columns ? chosen - columns : chosen;
      case "ArrowDown": return chosen + columns <= last ? chosen + columns : chosen;
      case "Home": return far ? 0 : chosen - x;
      case "End": return far ? last : Math.min(chosen - x + columns - 1, last);
      default: return -1;
    }
  }

  // On what is around the grid: Chromium gives focus to SVG that listens to focus.
  const around = wall.querySelector(".wall-scroll");
  around.addEventListener("keydown", (event) => {
    if (!event.target.closest(".tile") || event.altKey || event.metaKey || event.shiftKey) return;
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      toggle();
      return;
    }
    const next = moved(event.key, event.ctrlKey);
    if (next < 0) return;
    event.preventDefault();
    tiles[next].focus();
  });
  around.addEventListener("focusin", (event) => {
    const number = tiles.indexOf(event.target);
    if (number < 0) return;
    choose(number);
    uncover();
  });
  around.addEventListener("click", (event) => {
    const number = tiles.indexOf(event.target.closest(".tile"));
    if (number < 0) return;
    tiles[number].focus();
    toggle();
  });
  button.addEventListener("click", toggle);
  if (all) all.addEventListener("change", () => {
    tiles.forEach((_, number) => name(number));
    if (!panel.hidden) tell();
  });

  grid.setAttribute("role", "grid");
  grid.setAttribute("aria-label", "Pictures by likeness");
  for (const row of grid.querySelectorAll(".wall-row")) row.setAttribute("role", "row");
  tiles.forEach((tile, number) => {
    tile.setAttribute("role", "gridcell");
    tile.setAttribute("tabindex", number === chosen ? "0" : "-1");
    name(number);
  });
  for (const each of wall.querySelectorAll(".with-script")) each.hidden = false;
  for (const each of wall.querySelectorAll(".without-script")) each.hidden = true;
})();
