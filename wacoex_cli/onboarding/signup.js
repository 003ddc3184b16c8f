// Opens Meta's Embedded Signup, and hands its end to wacoex: once, and to nobody else.
(() => {
  "use strict";
  const setup = document.body.dataset;
  const SCRIPT_WAIT_MS = 20000;
  // A window that is gone at once was most likely never opened.
  const BLOCKED_MS = 1500;
  const SESSION_WAIT_MS = 2000;

  const find = (id) => document.getElementById(id);
  const button = find("begin");
  let session = null;
  let openedAt = 0;
  let isOver = false;

  const say = (text, isProblem = false) => {
    const status = find("status");
    status.textContent = text;
    status.classList.toggle("problem", isProblem);
  };

  // Facebook itself, or the stand-in on this machine that wacoex is set to use.
  const isTrusted = (origin) => {
    if (setup.extraOrigin && origin === setup.extraOrigin) {
      return true;
    }
    return /^https:\/\/([a-z0-9-]+\.)+facebook\.com$/.test(origin);
  };

  const parsed = (data) => {
    try {
      const found = typeof data === "string" ? JSON.parse(data) : data;
      return found?.type === "WA_EMBEDDED_SIGNUP" ? found : null;
    } catch {
      return null;
    }
  };

  window.addEventListener("message", (event) => {
    if (isTrusted(event.origin)) {
      session = parsed(event.data) ?? session;
    }
  });

  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

  const sessionOrNothing = async () => {
    const until = performance.now() + SESSION_WAIT_MS;
    while (session === null && performance.now() < until) {
      await pause(50);
    }
    return session;
  };

  const reportOf = (code, reported) => {
    const data = reported?.data ?? {};
    const event = reported?.event ?? "";
    if (code) {
      return { kind: "finished", code, event, waba_id: data.waba_id };
    }
    const errorCode = data.error_code ?? data.error_id;
    if (event === "ERROR" || data.error_message || errorCode) {
      return {
        kind: "error",
        error_message: data.error_message,
        error_code: errorCode,
        session_id: data.session_id,
      };
    }
    if (event === "CANCEL") {
      return { kind: "cancelled", current_step: data.current_step };
    }
    return { kind: "closed", waba_id: data.waba_id };
  };

  const showEnd = ({ ok, title, lines }) => {
    say("");
    for (const id of ["intro", "before", "data", "help"]) {
      find(id).hidden = true;
    }
    find("end").classList.toggle("problem", !ok);
    find("end-title").textContent = title;
    for (const line of lines) {
      const item = document.createElement("li");
      item.textContent = line;
      find("end-lines").append(item);
    }
    find("end").hidden = false;
    document.title = title;
    find("end-title").focus();
  };

  const hand = async (report) => {
    isOver = true;
    say("wacoex is finishing the signup.");
    try {
      const answer = await fetch(setup.reportPath, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...report, state: setup.state }),
      });
      if (!answer.ok) {
        throw new Error(`wacoex answered ${answer.status}`);
      }
      showEnd(await answer.json());
    } catch {
      const lines = ["Look at the terminal: if it has ended, run the command again."];
      showEnd({ ok: false, title: "wacoex does not answer any more", lines });
    }
  };

  const ended = async (code) => {
    if (!code && session === null && performance.now() - openedAt < BLOCKED_MS) {
      button.disabled = false;
      say("The window did not open. Allow pop-up windows for this page, then try again.", true);
      return;
    }
    const reported = await sessionOrNothing();
    await hand(reportOf(code, reported));
  };

  const begin = () => {
    session = null;
    openedAt = performance.now();
    button.disabled = true;
    say("Go on in the window of Facebook. This page waits.");
    const options = {
      config_id: setup.configId,
      response_type: "code",
      override_default_response_type: true,
      // Since version 4 the rest comes from the configuration of the app.
      extras: {
        setup: {},
        featureType: "whatsapp_business_app_onboarding",
        sessionInfoVersion: "3",
      },
    };
    // The SDK takes no asynchronous function here.
    const callback = (response) => {
      if (!isOver) {
        ended(response?.authResponse?.code ?? null);
      }
    };
    window.FB.login(callback, options);
  };

  const ready = () => {
    window.FB.init({
      appId: setup.appId,
      version: setup.apiVersion,
      autoLogAppEvents: false,
      cookie: false,
      status: false,
      xfbml: false,
    });
    button.disabled = false;
    button.textContent = "Continue with Facebook";
    button.onclick = begin;
    say("Ready.");
  };

  const load = () => {
    button.disabled = true;
    say("Loading Facebook’s script.");
    let isSettled = false;
    const settle = (act) => {
      if (!isSettled) {
        isSettled = true;
        act();
      }
    };
    const failed = () => {
      button.disabled = false;
      button.textContent = "Load Facebook’s script again";
      button.onclick = load;
      say("Facebook’s script did not load. A content blocker or the network may hold it up.", true);
    };
    window.fbAsyncInit = () => settle(ready);
    const script = document.createElement("script");
    script.src = setup.sdkUrl;
    script.onerror = () => settle(failed);
    setTimeout(() => settle(failed), SCRIPT_WAIT_MS);
    document.head.append(script);
  };

  load();
})();
