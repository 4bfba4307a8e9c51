/**
 * BTF reader: the kernel's own description of its types, as far as struct
 * sizes and member offsets go.
 *
 * All kinds 1 to 19 are known (Documentation/bpf/btf.rst). Every length and
 * offset is checked against the section it must lie in. A kind past 19 has a
 * length that this reader cannot know: it stops there, says so by name, and
 * keeps what came before. Big-endian data is read as such.
 */
import { InputError } from "../input-error.js";

const MAGIC = 0xeb9f;
/** Types a kernel has are some 100,000; more than this is no BTF. */
const MAX_TYPES = 16 * 1024 * 1024;

/** The kernel's longest symbol is 512 bytes (KSYM_NAME_LEN). */
const MAX_NAME = 1024;

export const BTF_KIND = {
  INT: 1,
  PTR: 2,
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  FWD: 7,
  TYPEDEF: 8,
  VOLATILE: 9,
  CONST: 10,
  RESTRICT: 11,
  FUNC: 12,
  FUNC_PROTO: 13,
  VAR: 14,
  DATASEC: 15,
  FLOAT: 16,
  DECL_TAG: 17,
  TYPE_TAG: 18,
  ENUM64: 19,
} as const;

const K = BTF_KIND;
/** Bytes after the 12-byte head: `fixed + each × vlen`, by kind. */
const EXTRA: readonly (readonly [fixed: number, each: number])[] = (() => {
  const rows: [number, number][] = Array.from({ length: 20 }, () => [0, 0]);
  rows[K.INT] = [4, 0];
  rows[K.ARRAY] = [12, 0];
  rows[K.STRUCT] = [0, 12];
  rows[K.UNION] = [0, 12];
  rows[K.ENUM] = [0, 8];
  rows[K.FUNC_PROTO] = [0, 8];
  rows[K.VAR] = [4, 0];
  rows[K.DATASEC] = [0, 12];
  rows[K.DECL_TAG] = [4, 0];
  rows[K.ENUM64] = [0, 12];
  return rows;
})();

/** Kinds that only name or qualify another type. */
const THROUGH: ReadonlySet<number> = new Set([
  K.TYPEDEF,
  K.VOLATILE,
  K.CONST,
  K.RESTRICT,
  K.TYPE_TAG,
]);

/** A member with its place; bits where it is a bit field. */
export interface BtfMember {
  /** Empty for an anonymous struct or union. */
  readonly name: string;
  readonly typeId: number;
  readonly bitOffset: number;
  /** 0 where it is no bit field. */
  readonly bitSize: number;
}

/** A member by its path, anonymous structs and unions looked through. */
export interface BtfField {
  readonly name: string;
  /** Byte offset in the outermost struct. */
  readonly offset: number;
  /** Bytes; null where its type has no size (void, function). */
  readonly size: number | null;
}

export class Btf {
  /** What could not be read, by name. */
  readonly notes: readonly string[];
  /** Number of types, void included. */
  readonly typeCount: number;
  private readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly little: boolean;
  private readonly file: string;
  private readonly strings: { readonly start: number; readonly end: number };
  /** Byte offset of each type by id; id 0 is void. */
  private readonly at: Uint32Array;
  private readonly byName = new Map<string, number>();
  private pointer: number | undefined;

  /** Reads the header and the places of all types. Throws InputError where sections lie outside. */
  constructor(bytes: Uint8Array, file = "btf") {
    this.bytes = bytes;
    this.file = file;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length < 24)
      throw new InputError({ file, offset: bytes.length }, "ends before the BTF header does");
    this.little = this.view.getUint16(0, true) === MAGIC;
    if (!this.little && this.view.getUint16(0, false) !== MAGIC)
      throw new InputError({ file, offset: 0 }, "does not begin with the BTF magic 0xeb9f");
    const version = bytes[2];
    if (version !== 1)
      throw new InputError(
        { file, offset: 2 },
        `BTF version ${version} is not known`,
        "version 1 is",
      );
    const headerLength = this.u32(4);
    const types = this.section(headerLength, 8, "types");
    this.strings = this.section(headerLength, 16, "strings");
    const walk = this.walk(types);
    this.at = walk.at;
    this.typeCount = walk.at.length;
    this.notes = walk.notes;
    this.nameStructs();
  }

  private u32(at: number): number {
    return this.view.getUint32(at, this.little);
  }

  private section(headerLength: number, at: number, what: string): { start: number; end: number } {
    if (headerLength < 24 || headerLength > this.bytes.length) {
      throw new InputError(
        { file: this.file, offset: 4 },
        `header length ${headerLength} cannot be`,
      );
    }
    const start = headerLength + this.u32(at);
    const end = start + this.u32(at + 4);
    if (end > this.bytes.length) {
      throw new InputError(
        { file: this.file, offset: at },
        `its ${what} would end at byte ${end} of ${this.bytes.length}`,
        "the file was cut",
      );
    }
    return { start, end };
  }

  private walk(types: { start: number; end: number }): { at: Uint32Array; notes: string[] } {
    const { file } = this;
    const places: number[] = [0];
    const notes: string[] = [];
    for (let p = types.start; p < types.end;) {
      if (types.end - p < 12) throw new InputError({ file, offset: p }, "the last type is cut");
      const info = this.u32(p + 4);
      const kind = (info >>> 24) & 0x1f;
      if (kind === 0 || kind >= EXTRA.length) {
        notes.push(
          `type ${places.length} at byte ${p} has kind ${kind}, which is not known: types from there on were not read`,
        );
        break;
      }
      const [fixed, each] = EXTRA[kind];
      const next = p + 12 + fixed + each * (info & 0xffff);
      if (next > types.end)
        throw new InputError(
          { file, offset: p },
          `type ${places.length} goes on past the type section`,
        );
      if (places.length > MAX_TYPES)
        throw new InputError({ file, offset: p }, "more types than any kernel has");
      places.push(p);
      p = next;
    }
    return { at: Uint32Array.from(places), notes };
  }

  private nameStructs(): void {
    for (let id = 1; id < this.typeCount; id++) {
      const kind = this.kindOf(id);
      if (
        kind !== K.STRUCT &&
        kind !== K.UNION &&
        kind !== K.TYPEDEF &&
        kind !== K.ENUM &&
        kind !== K.ENUM64
      )
        continue;
      const name = this.nameOf(id);
      if (name === "") continue;
      const key = `${kind === K.TYPEDEF ? "typedef" : kind === K.STRUCT || kind === K.UNION ? "struct" : "enum"} ${name}`;
      if (!this.byName.has(key)) this.byName.set(key, id);
    }
  }

  /** Kind of a type, one of {@link BTF_KIND}; 0 for void. Throws InputError for an id past the end. */
  kindOf(id: number): number {
    return id === 0 ? 0 : (this.u32(this.place(id) + 4) >>> 24) & 0x1f;
  }

  /** Name of a type, empty where it has none. */
  nameOf(id: number): string {
    return id === 0 ? "void" : this.text(this.u32(this.place(id)), this.place(id));
  }

  private place(id: number): number {
    if (id < 1 || id >= this.typeCount)
      throw new InputError({ file: this.file }, `there is no type ${id} of ${this.typeCount}`);
    return this.at[id];
  }

  private text(offset: number, from: number): string {
    const start = this.strings.start + offset;
    if (start >= this.strings.end && offset !== 0) {
      throw new InputError(
        { file: this.file, offset: from },
        `name at ${offset} lies outside the strings`,
      );
    }
    const last = Math.min(this.strings.end, start + MAX_NAME);
    let name = "";
    for (let i = start; i < last; i++) {
      if (this.bytes[i] === 0) return name;
      name += String.fromCharCode(this.bytes[i]);
    }
    if (offset === 0) return "";
    throw new InputError(
      { file: this.file, offset: start },
      `a name does not end inside the strings or within ${MAX_NAME} bytes`,
    );
  }

  /** Id of `struct NAME` or `union NAME`, else of `typedef NAME`; null where there is none. */
  find(name: string): number | null {
    return this.byName.get(`struct ${name}`) ?? this.byName.get(`typedef ${name}`) ?? null;
  }

  /** Bytes of a type; null for what has none, or goes in circles. */
  sizeOf(id: number, depth = 0): number | null {
    if (depth > 64 || id === 0) return null;
    const p = this.place(id);
    const kind = this.kindOf(id);
    if (kind === K.PTR) return this.pointerSize();
    if (THROUGH.has(kind) || kind === K.VAR) return this.sizeOf(this.u32(p + 8), depth + 1);
    if (kind === K.ARRAY) {
      const each = this.sizeOf(this.u32(p + 12), depth + 1);
      return each === null ? null : each * this.u32(p + 20);
    }
    if (kind === K.FWD || kind === K.FUNC || kind === K.FUNC_PROTO || kind === K.DECL_TAG)
      return null;
    return this.u32(p + 8);
  }

  /** Bytes of a pointer: that of `unsigned long`, which has the same size on Linux. */
  private pointerSize(): number {
    this.pointer ??= this.findPointerSize();
    return this.pointer;
  }

  private findPointerSize(): number {
    for (let id = 1; id < this.typeCount; id++) {
      if (this.kindOf(id) !== K.INT) continue;
      const name = this.nameOf(id);
      if (name === "long unsigned int" || name === "unsigned long" || name === "long int")
        return this.u32(this.place(id) + 8);
    }
    return 8;
  }

  /** Members of a struct or union; typedefs and qualifiers are looked through. */
  membersOf(id: number, depth = 0): BtfMember[] {
    if (depth > 64 || id === 0) return [];
    const p = this.place(id);
    const info = this.u32(p + 4);
    const kind = this.kindOf(id);
    if (THROUGH.has(kind)) return this.membersOf(this.u32(p + 8), depth + 1);
    if (kind !== K.STRUCT && kind !== K.UNION) return [];
    const bitFields = info >>> 31 === 1;
    const members: BtfMember[] = [];
    for (let i = 0; i < (info & 0xffff); i++) {
      const m = p + 12 + i * 12;
      const offset = this.u32(m + 8);
      members.push({
        name: this.text(this.u32(m), m),
        typeId: this.u32(m + 4),
        bitOffset: bitFields ? offset & 0xffffff : offset,
        bitSize: bitFields ? offset >>> 24 : 0,
      });
    }
    return members;
  }

  /** All named members of a struct, those of anonymous structs and unions in it too. */
  fieldsOf(id: number, base = 0, depth = 0): BtfField[] {
    if (depth > 16) return [];
    const fields: BtfField[] = [];
    for (const m of this.membersOf(id)) {
      const offset = base + Math.floor(m.bitOffset / 8);
      if (m.name === "") fields.push(...this.fieldsOf(m.typeId, offset, depth + 1));
      else fields.push({ name: m.name, offset, size: this.sizeOf(m.typeId) });
    }
    return fields;
  }

  /** Names and values of an enum (values of ENUM64 past 2^53 lose their low bits). */
  enumOf(name: string): Readonly<Record<string, number>> | null {
    const id = this.byName.get(`enum ${name}`);
    if (id === undefined) return null;
    const p = this.place(id);
    const info = this.u32(p + 4);
    const wide = this.kindOf(id) === K.ENUM64;
    const signed = info >>> 31 === 1;
    const values = new Map<string, number>();
    for (let i = 0; i < (info & 0xffff); i++) {
      const e = p + 12 + i * (wide ? 12 : 8);
      const low = this.u32(e + 4);
      const high = wide ? this.u32(e + 8) : 0;
      const value = wide ? (signed ? high | 0 : high) * 2 ** 32 + low : signed ? low | 0 : low;
      values.set(this.text(this.u32(e), e), value);
    }
    return Object.fromEntries(values);
  }
}
