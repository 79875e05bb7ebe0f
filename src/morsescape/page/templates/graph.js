// Minima and passes of one graph: what is pointed at in a picture or a row is marked in all of them.
for (const name of new Set([...document.querySelectorAll("[data-graph]")].map(e => e.dataset.graph))) {
  const places = [...document.querySelectorAll("[data-graph]")].filter(e => e.dataset.graph === name)
  const all = places.flatMap(place => [...place.querySelectorAll("[data-minima]")])
  let kept = null, pointed = null
  const mark = () => {
    const one = pointed ?? kept
    const minima = one ? one.dataset.minima.split(" ") : []
    const same = other => other.dataset.minima.includes(" ")
      ? other.dataset.minima === one.dataset.minima && other.dataset.height === one.dataset.height
      : minima.includes(other.dataset.minima)
    for (const other of all) other.classList.toggle("picked", one !== null && same(other))
    for (const place of places) place.classList.toggle("picking", one !== null)
  }
  const point = one => { pointed = one; mark() }
  const at = event => event.target.closest("[data-minima]")
  for (const place of places) {
    place.addEventListener("pointerover", event => point(at(event)))
    place.addEventListener("pointerleave", () => point(null))
    place.addEventListener("read", event => point(at(event)))
    place.addEventListener("blur", () => point(null))
    place.addEventListener("focusin", event => point(at(event)))
    place.addEventListener("focusout", () => point(null))
    place.addEventListener("click", event => {
      const one = at(event)
      if (!one) return
      kept = kept === one ? null : one
      mark()
    })
    // One stop of the tab key for a table; the arrows go through its rows.
    const rows = [...place.querySelectorAll("tr[data-minima]")]
    rows.forEach((row, k) => {
      row.tabIndex = k ? -1 : 0
      row.addEventListener("keydown", event => {
        const next = { ArrowDown: rows[k + 1], ArrowUp: rows[k - 1] }[event.key]
        if (!next) return
        row.tabIndex = -1
        next.tabIndex = 0
        next.focus()
        event.preventDefault()
      })
    })
  }
  document.addEventListener("keydown", event => {
    if (event.key !== "Escape") return
    kept = null
    point(null)
  })
}
