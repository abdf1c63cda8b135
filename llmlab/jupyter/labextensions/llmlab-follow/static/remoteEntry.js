// The index page follows the learner: when a check has written labs/index.md anew, an open preview of it is read again.
// JupyterLab itself reads a file once, when it is opened. Written by hand: it needs nothing of the packages that a bundler would bring.
(() => {
  const EVERY = 2000; // milliseconds between two looks, while the page is in sight

  const plugin = {
    id: "llmlab-follow:plugin",
    description: "Shows labs/index.md anew when it has changed on the disk.",
    autoStart: true,
    activate: (app) => {
      const changed = new Map();
      const look = async () => {
        if (document.visibilityState !== "visible") return;
        for (const widget of app.shell.widgets("main")) {
          const context = widget.context;
          if (!context || !context.isReady || context.model.dirty) continue;
          if (!/(^|\/)labs\/index\.md$/.test(context.path)) continue;
          const now = (await app.serviceManager.contents.get(context.path, { content: false })).last_modified;
          const before = changed.get(context) ?? context.contentsModel?.last_modified;
          changed.set(context, now);
          if (before !== undefined && before !== now) await context.revert();
        }
      };
      const again = () => look().catch(() => undefined).finally(() => setTimeout(again, EVERY));
      again();
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["llmlab-follow"] = {
    init: () => undefined,
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();
