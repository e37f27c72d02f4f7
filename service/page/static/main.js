// Starts what the page that is open needs. Nothing is fetched from elsewhere, and no script stands in the HTML.
import { watchAnswers } from "./answer.js";
import { drawCharts } from "./chart.js";
import { watchKeys } from "./keys.js";
import { followList } from "./list.js";
import { watchVersions } from "./versions.js";

watchKeys();
watchAnswers();
followList();
watchVersions();
drawCharts();
// From here on a key or a click is heard: tests wait for it after a page has changed.
document.documentElement.dataset.scripted = "";
