// A stand-in for Facebook's JavaScript SDK: `FB.init` and `FB.login`, and nothing else.
(() => {
  "use strict";
  const origin = new URL(document.currentScript.src).origin;
  let app = null;

  const open = (options) => {
    const query = new URLSearchParams({
      client_id: app.appId,
      version: app.version,
      opener_origin: window.location.origin,
      config_id: options.config_id ?? "",
      response_type: options.response_type ?? "",
      override_default_response_type: String(options.override_default_response_type),
      extras: JSON.stringify(options.extras ?? null),
    });
    return window.open(`${origin}/dialog/oauth?${query}`, "facebook", "width=600,height=700");
  };

  const login = (callback, options = {}) => {
    if (!app) {
      throw new Error("FB.login() called before FB.init().");
    }
    const popup = open(options);
    let timer = null;
    const end = (code) => {
      window.removeEventListener("message", hear);
      window.clearInterval(timer);
      callback(
        code
          ? { authResponse: { code, userID: null, expiresIn: null }, status: "connected" }
          : { authResponse: null, status: "unknown" },
      );
    };
    const hear = (event) => {
      if (event.origin === origin && event.data?.type === "sandbox-login") {
        end(event.data.code);
      }
    };
    window.addEventListener("message", hear);
    timer = window.setInterval(() => {
      if (!popup || popup.closed) {
        end(null);
      }
    }, 200);
  };

  window.FB = {
    init: (options) => {
      app = options;
    },
    login,
  };
  window.fbAsyncInit?.();
})();
