/*
 * Start check: shows a message when the page cannot start, because the browser lacks something or a file did not arrive.
 *
 * It is a classic script in the JavaScript of 2009, so that it runs where the page's modules do not. The styles hide the message as soon
 * as a board is shown (`data-shown`).
 */
(function () {
  "use strict";

  var TOO_OLD =
    "This browser is too old for the live board. It needs Chrome or Edge 92, Firefox 91, Safari 15, or a newer version of one of them.";
  var NOT_LOADED = "A part of this page could not be loaded.";

  function show(text) {
    document.documentElement.className = "cannot-start";
    document.getElementById("start-problem").textContent = text;
  }

  window.addEventListener(
    "error",
    function (event) {
      if (event.target !== window && event.target.nodeName === "SCRIPT") show(NOT_LOADED);
      else if (String(event.filename).indexOf("/static/") !== -1) show(TOO_OLD);
    },
    true
  );
  window.addEventListener("unhandledrejection", function (event) {
    if (String(event.reason && event.reason.stack).indexOf("/static/") !== -1) show(TOO_OLD);
  });
  if (!("noModule" in document.createElement("script"))) show(TOO_OLD);
})();
