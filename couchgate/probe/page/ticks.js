// Timers of a worker are not slowed down while the page is in the background.
setInterval(() => postMessage(null), 100);
