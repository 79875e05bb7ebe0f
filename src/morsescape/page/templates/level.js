// A level ε that moves over a tree: the components of M_ε, by the joins that are proved.
const COLOURS = ["blue", "vermillion", "green", "pink", "orange", "grey"]
for (const picture of document.querySelectorAll("svg[data-levels]")) {
  const { x, y, at, f, of, rest } = JSON.parse(picture.dataset.levels)
  const marks = [...picture.querySelectorAll(".mark[data-minima]")].map(mark => ({
    mark,
    minima: mark.dataset.minima.split(" ").map(Number),
    height: Number(mark.dataset.height),
    place: x[0] + (Number(mark.dataset.place) - at[0]) / (at[1] - at[0]) * (x[1] - x[0]),
  }))
  const leaves = marks.filter(one => one.minima.length === 1).sort((a, b) => a.place - b.place)
  const joins = marks.filter(one => one.minima.length === 2)
  const box = picture.closest("figure").querySelector(".level")
  if (leaves.length < 2 || !box) continue
  const step = (x[1] - x[0]) / (at[1] - at[0])

  // ε is what is written, to the last digit: k / 10^digits, with 300 to 3,000 of them in the picture,
  // fewer where k would be no exact integer.
  const exact = Math.log10(2 ** 52 / Math.max(Math.abs(f[0]), Math.abs(f[1])))
  const digits = Math.max(0, Math.min(Math.ceil(Math.log10(300 / (f[1] - f[0]))), Math.floor(exact)))
  const written = k => (k / 10 ** digits).toFixed(digits)
  const above = height => {
    let k = Math.floor(height * 10 ** digits)
    while (Number(written(k)) < height) k++
    return k
  }
  const events = [...new Set(marks.map(one => above(one.height)))].sort((a, b) => a - b)

  const drawn = document.createElementNS(picture.namespaceURI, "g")
  const add = (tag, text, attributes) => {
    const element = document.createElementNS(drawn.namespaceURI, tag)
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
    element.textContent = text
    drawn.append(element)
  }
  picture.querySelector("desc").after(drawn)

  const components = eps => {
    const top = new Map(leaves.filter(leaf => leaf.height <= eps).map(leaf => [leaf.minima[0], leaf.minima[0]]))
    const root = k => top.get(k) === k ? k : root(top.get(k))
    for (const join of joins) if (join.height <= eps) top.set(root(join.minima[0]), root(join.minima[1]))
    const parts = new Map()
    for (const leaf of leaves.filter(leaf => top.has(leaf.minima[0]))) {
      const own = root(leaf.minima[0])
      parts.set(own, [...(parts.get(own) ?? []), leaf])
    }
    return [...parts.values()]
  }

  const show = () => {
    const text = written(Number(slider.value)), eps = Number(text)
    const height = y[0] + (eps - f[0]) / (f[1] - f[0]) * (y[1] - y[0])
    const parts = components(eps)
    const count = parts.reduce((sum, part) => sum + part.length, 0)
    drawn.replaceChildren()
    for (const leaf of leaves) leaf.mark.style.removeProperty("--part")
    let before = -1
    parts.forEach((part, k) => {
      // The colour of its lowest minimum stays with a component while others join it.
      const lowest = part.reduce((a, b) => b.height < a.height ? b : a)
      let colour = leaves.indexOf(lowest) % COLOURS.length
      if (colour === before) colour = (colour + 1) % COLOURS.length
      before = colour
      const fill = `var(--${COLOURS[colour]})`
      const left = part[0].place - 0.42 * step, width = part.at(-1).place - part[0].place + 0.84 * step
      add("rect", "", { x: left, y: height, width, height: Math.max(0, y[0] - height), class: "part", style: `fill: ${fill}` })
      const name = String(k + 1)
      if (width >= 4.5 * name.length)
        add("text", name, { x: left + width / 2, y: y[0] - 2.5, class: "part-name", style: `fill: ${fill}` })
      for (const leaf of part) leaf.mark.style.setProperty("--part", fill)
    })
    for (const { mark, height } of leaves) mark.classList.toggle("above", height > eps)
    add("line", "", { x1: x[0], x2: x[1], y1: height, y2: height, class: "at" })
    add("text", "ε", { x: x[1] - 1, y: height - 3, class: "at-name" })
    const where = parts.length === 1 ? "one component" : `at most ${parts.length} components`
    said.textContent = `At ε = ${text}: ` + (count
      ? `${count} of ${leaves.length} ${of}, proved to lie in ${where} of M_ε; ${rest}`
      : `none of ${leaves.length} ${of}`)
    listed.replaceChildren(...parts.map((part, k) => {
      const item = document.createElement("li"), name = document.createElement("b")
      name.textContent = k + 1
      name.style.color = part[0].mark.style.getPropertyValue("--part")
      const minima = part.map(leaf => leaf.minima[0]).sort((a, b) => a - b).join(", ")
      item.append(name, `: ${part.length > 1 ? "minima" : "minimum"} ${minima}`)
      return item
    }))
    slider.setAttribute("aria-valuetext", said.textContent)
  }

  const slider = box.querySelector("input"), said = box.querySelector(".at-level"), listed = box.querySelector(".parts")
  slider.min = Math.min(above(f[0]), events[0] - 1)
  slider.max = Math.max(above(f[1]), events.at(-1))
  // Halfway below the last join, where there is something to see.
  slider.value = Math.round((events.at(-1) + (events.at(-2) ?? events[0])) / 2)
  slider.addEventListener("input", show)
  slider.addEventListener("keydown", event => {
    const k = Number(slider.value)
    const next = { PageUp: events.find(e => e > k), PageDown: events.findLast(e => e < k) }[event.key]
    if (next === undefined) return
    slider.value = next
    show()
    event.preventDefault()
  })
  box.hidden = false
  show()
}
