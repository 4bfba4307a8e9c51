/**
 * A tar of copied /proc files → Snapshot: plain, gzip or zstd.
 *
 * Members are read in the order in which they come; names are those a folder
 * would have (`folder.node.ts`), with any one folder in front. Nothing is
 * written anywhere.
 */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { extract } from "tar-stream";
import { unpacked } from "./decompress.node.js";
import { InputError } from "../input-error.js";
import { ioReason } from "./io-error.node.js";
import { MemberCollector, type PagesAsked } from "./members.node.js";
import type { Snapshot } from "../snapshot.js";

/** A tar holds at most three page files of 16 TiB machines and small text. */
const MAX_TAR = 2 ** 37;
/** More members than this are no copy of /proc. */
const MAX_MEMBERS = 2_000_000;

/** What tar-stream gives as bytes; anything else would be a fault of its. */
async function* piecesOf(entry: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const piece of entry) {
    if (!(piece instanceof Uint8Array))
      throw new TypeError("tar-stream gave something that is no bytes");
    yield piece;
  }
}

export async function readTar(path: string, pages: PagesAsked = "all"): Promise<Snapshot> {
  const collector = new MemberCollector(pages);
  const input = createReadStream(path, { highWaterMark: 512 * 1024 });
  const tar = extract();
  const source = Readable.from(unpacked(input, path, MAX_TAR), { objectMode: false });
  source.on("error", (error) => tar.destroy(error));
  source.pipe(tar);
  let members = 0;
  try {
    for await (const entry of tar) {
      if (++members > MAX_MEMBERS)
        throw new InputError(
          { file: path },
          "more than two million members",
          "not a copy of /proc",
        );
      const { name, type } = entry.header;
      if (type === "symlink") collector.link(name);
      if (type === "file" && collector.wants(name))
        await collector.add(name, `${path}:${name}`, piecesOf(entry));
      else entry.resume();
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(
      { file: path },
      `no whole tar: ${ioReason(error)}`,
      "the file was cut or changed",
    );
  } finally {
    input.destroy();
    source.destroy();
  }
  return collector.finish(path, "tar");
}
