// Marks of a picture say what they are: under the pointer, or one by one with the arrow keys.
for (const picture of document.querySelectorAll("svg[role=img]")) {
  const marks = [...picture.querySelectorAll(".mark")]
  const line = picture.closest("figure").querySelector(".reads")
  if (!marks.length || !line) continue
  const caption = line.textContent
  let at = -1
  const show = k => {
    marks[at]?.classList.remove("read")
    at = (k + marks.length) % marks.length
    marks[at].classList.add("read")
    line.textContent = marks[at].querySelector("title").textContent
    marks[at].dispatchEvent(new Event("read", { bubbles: true }))
  }
  line.hidden = false
  picture.setAttribute("tabindex", "0")
  const pointed = event => {
    const mark = event.target.closest(".mark")
    if (mark) show(marks.indexOf(mark))
  }
  const left = () => {
    marks[at]?.classList.remove("read")
    line.textContent = caption
  }
  picture.addEventListener("pointerover", pointed)
  picture.addEventListener("pointerleave", left)
  picture.addEventListener("blur", left)
  picture.addEventListener("click", pointed)
  picture.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    if (step) show(at < 0 && step < 0 ? -1 : at + step)
    else if (event.key === "Home") show(0)
    else if (event.key === "End") show(-1)
    else if (event.key === "Escape") left()
    else return
    event.preventDefault()
  })
}
