// What the page does beyond showing itself. All of it can be read without.
(() => {
  "use strict";
  const status = document.getElementById("status");
  const say = (text) => { if (status) status.textContent = text; };

  // What a mark of a figure stands for, where the pointer is, or where it was touched.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  for (const title of document.querySelectorAll(".drawing title")) {
    const mark = title.parentNode;
    if (mark && mark.nodeName !== "svg" && !mark.hasAttribute("data-tip")) mark.setAttribute("data-tip", title.textContent ?? "");
    title.remove(); // the browser would show it a second time
  }
  const show = (event) => {
    const mark = event.target instanceof Element ? event.target.closest(".drawing [data-tip]") : null;
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = mark.getAttribute("data-tip");
    const x = Math.min(event.clientX + 12, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = event.clientY - tip.offsetHeight - 12;
    tip.style.left = `${Math.max(x, 8)}px`;
    tip.style.top = `${above < 8 ? event.clientY + 18 : above}px`;
  };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

  // Sentences and the methods section are there to be taken.
  const copy = (text, place, what) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${what}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
        say("Copied");
      } catch {
        say("The browser does not let this page copy: select the text instead");
        button.textContent = "Select it instead";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    place.append(button);
  };
  if (navigator.clipboard) {
    for (const quote of document.querySelectorAll(".quotes .quote")) copy(quote.textContent, quote.previousElementSibling ?? quote, "this sentence");
    for (const block of document.querySelectorAll(".copied")) copy(block.textContent, block.parentElement, "the methods section");
  }

  // A browser need not move a strip for what gets the focus in it.
  document.addEventListener("focusin", (event) => {
    const picture = event.target instanceof Element && event.target.matches(":focus-visible") ? event.target.closest(".picture") : null;
    if (picture) picture.scrollIntoView({ block: "nearest", inline: "nearest" });
  });

  const all = document.getElementById("reveal-all");
  if (all) {
    all.addEventListener("change", () => say(all.checked ? "All pictures are shown" : "Pictures are blurred again"));
  }

  // Where one is, in the contents.
  const links = new Map();
  for (const link of document.querySelectorAll(".contents a")) {
    const heading = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (heading) links.set(heading, link);
  }
  if (links.size) {
    const mark = () => {
      let current = null;
      for (const heading of links.keys()) if (heading.getBoundingClientRect().top < innerHeight / 3) current = heading;
      for (const [heading, link] of links) {
        if (heading === current) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    };
    let asked = false;
    addEventListener("scroll", () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; mark(); });
    }, { passive: true });
    mark();
  }
})();
