// Builds minibert/viz/d3.min.js, the same bytes each time: cd docs/d3; npm ci; npm run build
// Another place to write to may be named: npm run build -- path/to/d3.min.js
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const target = process.argv[2] ?? "../../minibert/viz/d3.min.js";
const { metafile, outputFiles } = await build({
  entryPoints: ["d3.js"],
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "d3",
  target: "es2017",
  charset: "ascii",
  legalComments: "none", // the notices are whole files, below
  metafile: true,
  write: false,
});

// The licence of each package of which something is in the bundle. Most differ in the first line.
const [output] = Object.values(metafile.outputs);
const used = Object.entries(output.inputs)
  .filter(([path, { bytesInOutput }]) => path.includes("node_modules/") && bytesInOutput > 0)
  .map(([path]) => path.match(/node_modules\/([^/]+)/)[1]);
const notices = new Map(); // terms to the packages and copyright lines they hold for
for (const name of [...new Set(used)].sort()) {
  const folder = `node_modules/${name}`;
  const [copyright, ...rest] = readFileSync(`${folder}/LICENSE`, "utf8").trim().split(/\r?\n/);
  const terms = rest.join("\n").replace(/[^\S\n]+$/gm, "");
  const { version } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  notices.set(terms, [...(notices.get(terms) ?? []), `${name} ${version}: ${copyright}`]);
}
const licences = [...notices].map(([terms, packages]) => `${packages.join("\n")}\n${terms}`);
writeFileSync(target, `/*\n${licences.join("\n\n")}\n*/\n${outputFiles[0].text}`);
