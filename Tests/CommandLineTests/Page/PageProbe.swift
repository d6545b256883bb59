/// Scripts that measure what a page looks like.
enum PageProbe {
    /// Every text that is shown and stands out less than WCAG 2.1 demands of normal text (4.5:1), as `text: contrast`.
    ///
    /// Colours are those that the browser computed, with everything behind a text blended together.
    static let weakTexts = #"""
        (() => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          canvas.canvas.width = canvas.canvas.height = 1;
          // Whatever notation a colour has: painted, and read back.
          const known = new Map();
          const rgba = (text) => {
            if (!known.has(text)) known.set(text, read(text));
            return known.get(text);
          };
          const read = (text) => {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = "rgba(0,0,0,0)";
            canvas.fillStyle = text;
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
            return [r, g, b, a / 255];
          };
          const over = (front, back) => [0, 1, 2].map((at) => front[at] * front[3] + back[at] * (1 - front[3])).concat(1);
          const luminance = (colour) => colour.slice(0, 3).map((channel) => channel / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
            .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
          const background = (element) => {
            const layers = [];
            for (let at = element; at; at = at.parentElement) {
              layers.push(rgba(getComputedStyle(at).backgroundColor));
              if (layers.at(-1)[3] === 1) break;
            }
            return layers.reverse().reduce((back, front) => over(front, back), [255, 255, 255, 1]);
          };
          const weak = [];
          let seen = 0;
          const check = (element, text, colour) => {
            seen += 1;
            const back = background(element), front = over(rgba(colour), back);
            const [dark, light] = [luminance(back), luminance(front)].sort((left, right) => left - right);
            const contrast = (light + 0.05) / (dark + 0.05);
            if (contrast < 4.5) weak.push(`${text.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
          };
          const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          while (texts.nextNode()) {
            const text = texts.currentNode, element = text.parentElement;
            if (!text.data.trim() || ["SCRIPT", "STYLE", "NOSCRIPT", "OPTION"].includes(element.tagName)) continue;
            if (element.closest("title") || !element.checkVisibility({ opacityProperty: true })) continue;
            const style = getComputedStyle(element);
            check(element, text.data, element.namespaceURI.endsWith("svg") ? style.fill : style.color);
          }
          for (const field of document.querySelectorAll("select, input")) check(field, field.id, getComputedStyle(field).color);
          for (const field of document.querySelectorAll("input[placeholder]")) check(field, field.placeholder, getComputedStyle(field, "::placeholder").color);
          return { seen, weak };
        })()
        """#

    /// What sticks out of the window, without a box around it that scrolls.
    static let overhanging = #"""
        (() => {
          const width = document.documentElement.clientWidth;
          const scrolls = (element) => {
            for (let at = element.parentElement; at; at = at.parentElement) if (getComputedStyle(at).overflowX !== "visible") return true;
            return false;
          };
          const found = [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility()
            && (element.getBoundingClientRect().right > width + 0.5 || element.getBoundingClientRect().left < -0.5) && !scrolls(element));
          return { pageWidth: document.documentElement.scrollWidth, width, found: found.map((element) => `${element.tagName}.${element.className} ${element.textContent.slice(0, 40)}`) };
        })()
        """#

    /// The table of tensors, as rows of texts, without its open details.
    static let tableRows = #"""
        [...document.querySelectorAll("#tensors tbody tr:not(.opened)")].map((row) => [...row.cells].map((cell) => cell.innerText.trim()))
        """#
}
