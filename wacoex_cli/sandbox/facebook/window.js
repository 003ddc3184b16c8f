"use strict";

const opener_origin = new URLSearchParams(window.location.search).get("opener_origin");

// Meta posts the session as a text with JSON in it.
const tell = (event, data) => {
  const session = { type: "WA_EMBEDDED_SIGNUP", event, version: 3, data };
  window.opener?.postMessage(JSON.stringify(session), opener_origin);
};

const end = (code) => {
  window.opener?.postMessage({ type: "sandbox-login", code }, opener_origin);
  window.close();
};

const finish = async () => {
  const phone = document.getElementById("phone").value;
  const answer = await fetch("/dialog/finish", {
    method: "POST",
    body: JSON.stringify({ phone }),
  });
  const found = await answer.json();
  if (!answer.ok) {
    document.getElementById("refusal").textContent = found.error;
    return null;
  }
  return found;
};

const on = (id, act) => {
  document.getElementById(id).addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
};

on("finish-form", async () => {
  const found = await finish();
  if (found) {
    tell("FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING", { waba_id: found.waba_id });
    end(found.code);
  }
});

// Meta: closing the window on its last screen counts as success, though it reports nothing.
document.getElementById("last-screen").addEventListener("click", async () => {
  if (await finish()) {
    window.close();
  }
});

on("cancel-form", () => {
  tell("CANCEL", { current_step: document.getElementById("step").value });
  end(null);
});

on("error-form", () => {
  tell("CANCEL", {
    error_message: document.getElementById("text").value,
    error_code: document.getElementById("code").value,
    session_id: "sandbox-session-1",
    timestamp: String(Math.floor(Date.now() / 1000)),
  });
  end(null);
});
