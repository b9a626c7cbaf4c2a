// Reads a zstruct store by range requests: whole small tables, and of structures only the chunks that hold them.
// Nothing is drawn here, and what can't be read is a `Problem`: a sentence for the reader of the page.

import { Array as ZarrArray, get, registry, slice } from "./vendor/zarrita.js";

export class Problem extends Error {}

const WHOLE_BYTES = 4 * 2 ** 20; // of a file that a server without ranges may send for a part of it
const CACHE_BYTES = 64 * 2 ** 20; // of chunks, as they come from the server
const DECODED = new Set(["sharding_indexed", "bytes", "crc32c", "gzip", "transpose", "scale_offset", "cast_value", "blosc"]);
const COMPRESSORS = new Set(["lz4", "lz4hc", "zstd", "blosclz", "zlib", "snappy"]);

const CRC_TABLE = new Uint32Array(256).map((_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0x82f63b78 : byte >>> 1;
  return byte;
});

/** CRC-32C (Castagnoli) of bytes. */
export function crc32c(bytes) {
  let crc = ~0;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// zarrita's own takes the checksum off without looking at it.
class Checksum {
  kind = "bytes_to_bytes";
  static fromConfig() {
    return new Checksum();
  }
  decode(bytes) {
    const content = bytes.subarray(0, bytes.length - 4);
    const said = new DataView(bytes.buffer, bytes.byteOffset + content.length, 4).getUint32(0, true);
    if (crc32c(content) !== said) throw new Problem("does not have its checksum");
    return content;
  }
  computeEncodedSize(size) {
    return size + 4;
  }
}
registry.set("crc32c", () => Checksum);

/** The files of a store on a server, whole or in parts. `fetched` counts what came over the network. */
class Files {
  constructor(url) {
    this.url = url.endsWith("/") ? url : `${url}/`;
    this.fetched = { bytes: 0, requests: 0 };
    this.ranges = new Map(); // in the order of their last use
    this.kept = 0;
    this.suffixes = true;
  }

  async whole(key) {
    const response = await this.request(key, {});
    if (!response.ok) this.refuse(key, response);
    return this.bytes(response);
  }

  async document(key) {
    try {
      return JSON.parse(new TextDecoder().decode(await this.whole(key)));
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw new Problem(`${this.address(key)} is no metadata of a Zarr store.`);
    }
  }

  // What zarrita asks for. It takes a file that is not there for one that is all fill value; here it is damage.
  async get(key) {
    return this.whole(key);
  }

  async getRange(key, range) {
    const name = `${key} ${range.suffixLength ?? `${range.offset}+${range.length}`}`;
    let found = this.ranges.get(name);
    if (found === undefined) {
      found = this.part(key, range);
      found.then(
        (bytes) => this.keep(name, bytes.length),
        () => this.ranges.delete(name),
      );
    }
    this.ranges.delete(name);
    this.ranges.set(name, found);
    return found;
  }

  keep(name, size) {
    this.kept += size;
    for (const [oldest, bytes] of this.ranges) {
      if (this.kept <= CACHE_BYTES || oldest === name) break;
      this.ranges.delete(oldest);
      bytes.then((gone) => (this.kept -= gone.length));
    }
  }

  async part(key, { offset, length, suffixLength }) {
    if (suffixLength !== undefined && !this.suffixes) {
      const size = await this.size(key);
      [offset, length, suffixLength] = [size - suffixLength, suffixLength, undefined];
    }
    const asked = suffixLength === undefined ? `${offset}-${offset + length - 1}` : `-${suffixLength}`;
    const response = await this.request(key, { Range: `bytes=${asked}` });
    if (response.status === 206) {
      const bytes = await this.bytes(response);
      if (bytes.length !== (suffixLength ?? length))
        throw new Problem(`The file ${key.slice(1)} of the store is shorter than it should be: it is damaged, or was replaced while this page was open. Load the page again.`);
      return bytes;
    }
    if (suffixLength !== undefined && [400, 405, 416, 501].includes(response.status)) {
      this.suffixes = false; // some servers know no ranges that count from the end
      return this.part(key, { suffixLength });
    }
    if (response.status !== 200) this.refuse(key, response);
    if (!(Number(response.headers.get("Content-Length") ?? Infinity) <= WHOLE_BYTES)) {
      await response.body.cancel();
      throw new Problem(
        `The server sends whole files where a part was asked for, and ${key.slice(1)} is too large for that: use one that answers range requests (nginx, Apache, Caddy and object stores do, python -m http.server does not), or run "zstruct live STORE --serve".`,
      );
    }
    const bytes = await this.bytes(response);
    return suffixLength === undefined ? bytes.slice(offset, offset + length) : bytes.slice(-suffixLength);
  }

  async size(key) {
    const response = await fetch(this.address(key), { method: "HEAD" });
    if (!response.ok) this.refuse(key, response);
    return Number(response.headers.get("Content-Length"));
  }

  address(key) {
    return this.url + key.slice(1).split("/").map(encodeURIComponent).join("/");
  }

  async request(key, headers) {
    this.fetched.requests += 1;
    try {
      return await fetch(this.address(key), { headers, cache: "no-cache" }); // what is kept may be of an earlier store
    } catch {
      throw new Problem(
        `${this.address(key)} can't be reached: the server is gone, or it is another one than that of this page and does not let pages of others read it (CORS).`,
      );
    }
  }

  async bytes(response) {
    const bytes = new Uint8Array(await response.arrayBuffer());
    this.fetched.bytes += bytes.length;
    return bytes;
  }

  refuse(key, response) {
    const why = response.status === 404 ? "is not there" : `can't be read (${response.status} ${response.statusText})`;
    throw new Problem(`The file ${this.address(key)} ${why}.`);
  }
}

/** What of an array's codecs this page can't decode, or undefined. */
export function undecodable(codecs) {
  for (const { name, configuration = {} } of codecs) {
    if (!DECODED.has(name)) return name;
    if (name === "blosc" && !COMPRESSORS.has(configuration.cname)) return `blosc (${configuration.cname})`;
    const inner = undecodable([...(configuration.codecs ?? []), ...(configuration.index_codecs ?? [])]);
    if (inner !== undefined) return inner;
  }
  return undefined;
}

/** A store that is open: `attributes` of its root, and its arrays by path. */
export class Store {
  constructor(files, document) {
    this.files = files;
    this.documents = document.consolidated_metadata.metadata;
    this.attributes = document.attributes;
    this.arrays = new Map();
  }

  static async open(url) {
    const files = new Files(url);
    const document = await files.document("/zarr.json");
    const attributes = document.attributes ?? {};
    if (attributes["encoding-type"] !== "zstruct" || attributes.status !== "complete")
      throw new Problem(`${url} is no finished zstruct store.`);
    if (String(attributes["encoding-version"]).split(".")[0] !== "1")
      throw new Problem(`${url} has format version ${attributes["encoding-version"]}; this page reads 1.x. Make it again with the zstruct that wrote the store.`);
    if (!document.consolidated_metadata?.metadata)
      throw new Problem(`${url} has no consolidated metadata, without which a page can't know its arrays: run "zstruct rewrite STORE NEW" and make the page of NEW.`);
    return new Store(files, document);
  }

  has(path) {
    return this.documents[path]?.node_type === "array";
  }

  /** Root arrays whose first dimension this is. */
  over(dimension) {
    return Object.entries(this.documents)
      .filter(([path, said]) => said.node_type === "array" && !path.includes("/") && said.dimension_names?.[0] === dimension)
      .map(([path]) => path);
  }

  said(path) {
    return this.documents[path]?.attributes ?? {};
  }

  array(path) {
    let found = this.arrays.get(path);
    if (found === undefined) {
      const said = this.documents[path];
      if (said === undefined) throw new Problem(`The store has no array ${path}.`);
      const codec = undecodable(said.codecs);
      if (codec !== undefined)
        throw new Problem(`The array ${path} is stored with the codec ${codec}, which this page can't decode: run "zstruct rewrite STORE NEW --encoding plain --compression fast" and make the page of NEW.`);
      // A byte that says true or false is read as a number, as all others are.
      const number = said.data_type === "bool" ? { data_type: "uint8", fill_value: Number(said.fill_value) } : {};
      found = new ZarrArray(this.files, `/${path}`, { ...said, ...number });
      this.arrays.set(path, found);
    }
    return found;
  }

  /** The rows `start` to `stop` of an array, C-ordered, and how many numbers a row has. */
  async read(path, start = 0, stop = undefined) {
    const array = this.array(path);
    const end = stop ?? array.shape[0];
    const width = array.shape.slice(1).reduce((a, b) => a * b, 1);
    if (start >= end) return { data: [], width };
    try {
      const found = await get(array, [slice(start, end), ...array.shape.slice(1).map(() => null)]);
      return { data: found.data, width };
    } catch (error) {
      throw telling(path, error);
    }
  }

  /** One row of an array, as a list of numbers. */
  async row(path, k) {
    return Array.from((await this.read(path, k, k + 1)).data, Number);
  }

  /** The text that a code of a category stands for, which is read alone. */
  async text(field, code, group = "") {
    if (code < 0) return undefined;
    const table = `${group}categories/${field}`;
    const [start, stop] = Array.from((await this.read(`${table}/offsets`, code, code + 2)).data, Number);
    const { data } = await this.read(`${table}/data`, start, stop);
    return new TextDecoder().decode(Uint8Array.from(data));
  }

  /** All texts of a category. */
  async texts(field, group = "") {
    const table = `${group}categories/${field}`;
    const [edges, bytes] = await Promise.all([this.read(`${table}/offsets`), this.read(`${table}/data`)]);
    const all = Uint8Array.from(bytes.data);
    const decoder = new TextDecoder();
    return Array.from(edges.data.subarray(1), (stop, k) => decoder.decode(all.subarray(Number(edges.data[k]), Number(stop))));
  }

  /** Refuse what was read if the store was replaced meanwhile: it may be of both. */
  async check() {
    const { attributes } = await this.files.document("/zarr.json");
    if (attributes?.digest !== this.attributes.digest)
      throw new Problem("The store was replaced while this page was open: load the page again.");
  }

  async edges(row) {
    const [start, stop] = Array.from((await this.read("offsets", row, row + 2)).data, Number);
    if (!(start >= 0 && start < stop && stop <= this.attributes.n_atoms))
      throw new Problem(`The atoms of structure ${row} are not where the store says: run "zstruct verify STORE".`);
    return [start, stop];
  }

  /** What a structure looks like: numbers and positions of atoms, lattice vectors and which of them are periods. */
  async geometry(row) {
    const [start, stop] = await this.edges(row);
    const [numbers, positions, cell, pbc] = await Promise.all([
      this.read("numbers", start, stop),
      this.read("positions", start, stop),
      this.has("cell") ? this.row("cell", row) : Array(9).fill(0),
      this.has("pbc") ? this.row("pbc", row) : [0, 0, 0],
    ]);
    if (!positions.data.every(Number.isFinite)) throw new Problem(`Positions of structure ${row} are missing.`);
    return { row, numbers: Array.from(numbers.data), positions: Array.from(positions.data), cell, pbc: pbc.map(Boolean) };
  }

  async forces(row) {
    const { data } = await this.read("forces", ...(await this.edges(row)));
    return data.every(Number.isFinite) ? Array.from(data) : undefined;
  }

  /** What is known of a structure besides, field by field: `undefined` for what it lacks. */
  async value(field, row) {
    const { kind, presence } = this.said(field);
    const there = presence === undefined || (await this.row(presence, row))[0] === 1;
    if (!there) return undefined;
    const values = await this.row(field, row);
    if (kind === "category") return this.text(field, values[0]);
    if (values.every(Number.isNaN)) return undefined;
    return kind === "bool" ? values.map(Boolean) : values;
  }
}

function telling(path, error) {
  for (let cause = error; cause; cause = cause.cause) {
    if (!(cause instanceof Problem)) continue;
    if (cause.message !== "does not have its checksum") return cause;
    return new Problem(
      `A chunk of ${path} does not have its checksum: the store was replaced while this page was open, or is damaged. Load the page again; if that does not help, run "zstruct verify STORE".`,
    );
  }
  return new Problem(`The array ${path} can't be read: ${error.message ?? error}`);
}
