// Draws the page once.

fill(byId("about"), DATA.about);
fill(byId("notes"), ...DATA.notes.map((text) => make("li", {}, text)));
drawTotals();
drawFilters();
if (GRID) drawGrid();
else refresh();
drawCompared();
watchWindow();
byId("run").addEventListener("click", (event) => {
  if (event.target === byId("run")) byId("run").close(); // beside the dialog
});
document.documentElement.dataset.drawn = "yes";
