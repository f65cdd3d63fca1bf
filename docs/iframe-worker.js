// The search runs in a worker, which browsers refuse to pages opened from the file system. There a hidden frame takes its part.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.worker = this;
      const inside = 'self.postMessage = data => frameElement.worker.dispatchEvent(new MessageEvent("message", { data }));';
      this.frame.srcdoc = `<script>${inside}</script><script src="${url}"></script>`;
      this.frame.onload = () => {
        this.ready = true;
        this.waiting.forEach(data => this.postMessage(data));
      };
      document.body.append(this.frame);
    }
    postMessage(data) {
      if (!this.ready) this.waiting.push(data);
      else this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
