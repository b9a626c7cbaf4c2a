// Bundles what zstruct/reporting/live_page/vendor has, and writes the licences of all that is in it beside it.

import { build } from "esbuild";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const OUT = new URL("../../zstruct/reporting/live_page/vendor/", import.meta.url).pathname;
const absent = join(import.meta.dirname, "absent.js");

const { metafile } = await build({
  entryPoints: ["zarrita.js"],
  outfile: join(OUT, "zarrita.js"),
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  legalComments: "none",
  alias: { "numcodecs/zstd": absent, "numcodecs/lz4": absent },
  metafile: true,
});

const bundled = Object.keys(metafile.inputs)
  .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])
  .filter((name) => name !== undefined);
const sections = [...new Set(bundled)].sort().map((name) => {
  const folder = join("node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  if (!file) throw new Error(`${name} has no licence beside it`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
const native = readFileSync("native-licenses.txt", "utf8");
const head =
  "zarrita.js is a bundle of zarrita, its storage interface and numcodecs, made by `make web` from the versions in\ndocs/zarrita/package-lock.json.\n";
const rule = `\n${"=".repeat(80)}\n\n`;
writeFileSync(join(OUT, "LICENSES.txt"), [head, ...sections, native].join(rule));
