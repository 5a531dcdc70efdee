// Shows the values under the pointer. Points are read back from the drawn paths.
for (const plot of document.querySelectorAll(".plot")) {
  const svg = plot.querySelector("svg");
  const readout = plot.querySelector(".readout");
  const [x0, x1, y0, y1] = plot.dataset.range.split(" ").map(Number);
  const log = "log" in plot.dataset;
  const cursor = svg.querySelector("path").cloneNode();
  cursor.setAttribute("class", "cursor");
  let lines;
  const read = (path) => ({
    name: path.dataset.name,
    points: [...path.getAttribute("d").matchAll(/([\d.]+) ([\d.]+)/g)].map((m) => [Number(m[1]), Number(m[2])]),
  });
  const value = (y) => {
    const at = y0 + (1 - y / 1000) * (y1 - y0);
    return Number((log ? 10 ** at : at).toPrecision(4)).toString();
  };
  const hide = () => {
    readout.hidden = true;
    cursor.remove();
  };
  plot.addEventListener("pointermove", (event) => {
    // Drawn from the last to the first.
    lines ??= [...svg.querySelectorAll("path[data-name]")].reverse().map(read).filter((line) => line.points.length);
    const box = svg.getBoundingClientRect();
    const pointer = ((event.clientX - box.left) / box.width) * 1000;
    if (!lines.length || pointer < 0 || pointer > 1000) return hide();
    const near = lines.map((line) => line.points.reduce((a, b) => (Math.abs(b[0] - pointer) < Math.abs(a[0] - pointer) ? b : a)));
    const at = near.reduce((a, b) => (Math.abs(b[0] - pointer) < Math.abs(a[0] - pointer) ? b : a))[0];
    const rows = lines.map((line, i) => (Math.abs(near[i][0] - at) < 5 ? `${line.name}: ${value(near[i][1])}` : "")).filter(Boolean);
    readout.textContent = [`step ${Math.round(x0 + (at / 1000) * (x1 - x0)).toLocaleString("en")}`, ...rows].join("\n");
    cursor.setAttribute("d", `M${at} 0V1000`);
    svg.append(cursor);
    readout.hidden = false;
    const left = box.left - plot.getBoundingClientRect().left + (at / 1000) * box.width;
    readout.style.left = at < 500 ? `${left + 10}px` : "";
    readout.style.right = at < 500 ? "" : `${plot.clientWidth - left + 10}px`;
  });
  plot.addEventListener("pointerleave", hide);
}
