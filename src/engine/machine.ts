/**
 * A simulated machine: the front door of the engine.
 *
 * `Machine.boot` lays out the metadata arena for a configuration and a design
 * and leaves every frame in the hands of nobody: the page array is there, the
 * free lists are empty. Frames are then given to the allocator (`giveRange`), to
 * the page array itself (`reserveRange`), or bound to what a snapshot says they
 * are. After that pages, folios, slabs and page tables are allocated and freed
 * through it as in a kernel; failure is a negative errno and changes nothing.
 *
 * All state is in words (rule 5 of the architecture: a machine can be cloned by
 * copying them and booting the same configuration).
 */
import { bytes, formatBytes, PAGE_SIZE, type Bytes, type Ref } from "../units.js";
import {
  DEVICE_SPACE_SIZE,
  GLOBALS_SIZE,
  PCP_BATCH,
  PCP_HIGH,
  PCP_SIZE,
  ZONE_LOWMEM_RESERVE,
  ZONE_SIZE,
  ZONE_WATERMARK_HIGH,
  ZONE_WATERMARK_LOW,
  ZONE_WATERMARK_MIN,
} from "./layout/generated/offsets.js";
import {
  createWord,
  DesignError,
  DEVICE_RECORD_BYTES,
  WORD_BYTES,
  type Design,
} from "./design/presets.js";
import type { CacheSpec, PageDesign } from "./design/word/axis.js";
import {
  isFolioType,
  MISC_RESERVED,
  MISC_UNKNOWN,
  type PageType,
} from "./design/word/axis-types.js";
import { RuleViolation } from "./errors.js";
import { ALLOC_LOW, EINVAL, ENOMEM, PageAllocator } from "./pages/allocator.js";
import { ArenaHeap, ArenaPlan } from "./pages/arena.js";
import { DeviceArea } from "./pages/device-area.js";
import { Buddy } from "./pages/buddy.js";
import { DescriptorCaches } from "./pages/caches.js";
import {
  MAX_ORDER,
  MIGRATE_MOVABLE,
  MIGRATE_UNMOVABLE,
  PAGEBLOCK_PAGES,
  ZONE_DEVICE,
  zoneRuns,
  Zones,
  type ZoneConfig,
} from "./pages/zones.js";
import { Rcu } from "./rcu.js";
import { PlainWords } from "./words/plain.js";
import type { Words } from "./words/words.js";

/** Room behind the RAM for the memory of devices. */
export interface DeviceRoom {
  /** First frame of it: RAM ends there. A whole section. */
  readonly first: number;
  /** Frames for ranges that have physical addresses (coherent, dax, p2pdma). */
  readonly span: number;
  /** Pages of device-private memory, in frames of their own where a struct page describes them. */
  readonly private: number;
}

/** What a machine is made of. */
export interface MachineConfig {
  /** Frames 0 … frames − 1 can be spoken of; some may be holes. At most 2^31. */
  readonly frames: number;
  readonly zones: readonly ZoneConfig[];
  /** Which node owns which frames, where spans of zones overlap. */
  readonly owners?: readonly {
    readonly start: number;
    readonly end: number;
    readonly node: number;
  }[];
  /** Stretches that have a page array: whole sections. */
  readonly present: readonly { readonly start: number; readonly end: number }[];
  readonly cpus: number;
  /** Per-CPU list limits of each zone; the same for every CPU. */
  readonly pcp: readonly { readonly high: number; readonly batch: number }[];
  /** Bytes of a base page, 4096 unless said otherwise: what a frame and a slab are. */
  readonly pageSize?: number;
  /** Bytes of descriptors that there must be room for; default: one folio for every frame. */
  readonly heapBytes?: number;
  /** Caches of other kernel objects, behind those of the design's descriptors. */
  readonly objects?: readonly CacheSpec[];
  /** Bytes of words for state that is no object of a cache: list heads, pools, counters. */
  readonly stateBytes?: number;
  /** Memory of devices that there may be; none where left out. */
  readonly device?: DeviceRoom;
}

const CACHES_MAX = 64;
/** Bytes of the table of device spaces: 16 bits of a tuple name one. */
export const DEVICE_SPACES = 2 ** 16;
/** References stay 31-bit integers: an arena ends at 32 GiB. */
const ARENA_LIMIT = 2 ** 35;
/** Pages of the heap beyond what descriptors need when packed. */
const HEAP_SLACK = 1024;
/** Room for one descriptor of the largest order-0 kind per frame, its slab's descriptor, and slack. */
export const HEAP_BYTES_PER_FRAME = 112;

export class Machine {
  readonly design: PageDesign;
  /** The design as it was asked for. */
  readonly choice: Design;
  readonly config: MachineConfig;
  readonly w: Words;
  readonly zones: Zones;
  readonly buddy: Buddy;
  readonly allocator: PageAllocator;
  readonly caches: DescriptorCaches;
  readonly heap: ArenaHeap;
  readonly rcu: Rcu;
  /** Asked for memory before an allocation of tables or objects fails; says whether to try again. */
  onPressure: () => boolean = () => false;
  /** Descriptor of the folio that `allocFolio` gave last: spares its caller the lookup. */
  folio = 0 as Ref;
  /** What describes device memory, with frames behind it as needed; null without devices. */
  readonly deviceArea: DeviceArea | null;
  /** Records of device-private memory that are no struct pages. */
  readonly deviceRecords: Ref;
  /** The table of device spaces. */
  readonly deviceSpaces: Ref;
  /** First frame that is a device's; beyond all frames without devices. */
  readonly deviceFirst: number;
  /** Where `config.stateBytes` of words are. */
  readonly state: Ref;
  /** Bytes of a base page. */
  readonly pageSize: number;
  /** Bytes of the page array: frames of present sections × bytes per page. */
  readonly pageArrayBytes: Bytes;
  /** Bytes of the table that rebuilds node and zone; 0 where the word has them. */
  readonly zoneTableBytes: Bytes;

  /**
   * Boots a machine. `makeWords` is given the size of the arena; plain words by
   * default. Throws DesignError where the machine is beyond the design's reach.
   */
  static boot(
    config: MachineConfig,
    choice: Design,
    makeWords: (size: Bytes) => Words = (n) => new PlainWords(n),
  ): Machine {
    return new Machine(config, choice, makeWords);
  }

  private constructor(config: MachineConfig, choice: Design, makeWords: (size: Bytes) => Words) {
    this.config = config;
    this.choice = choice;
    const cost = WORD_BYTES[choice.word];
    const blocks = Math.ceil(config.frames / PAGEBLOCK_PAGES);
    this.pageSize = config.pageSize ?? PAGE_SIZE;
    const refsPerPage = this.pageSize / 16;
    const heapLimit =
      Math.ceil((config.heapBytes ?? config.frames * HEAP_BYTES_PER_FRAME) / this.pageSize) +
      HEAP_SLACK;

    const plan = new ArenaPlan(refsPerPage);
    const globals = plan.take(GLOBALS_SIZE);
    const addressSpace = plan.take(192);
    const anonVma = plan.take(128);
    const rcu = plan.take(Rcu.bytes(config.cpus));
    const zoneRefs = Int32Array.from(config.zones, () => plan.take(ZONE_SIZE));
    const pcpRefs = Int32Array.from({ length: config.zones.length * config.cpus }, () =>
      plan.take(PCP_SIZE),
    );
    const objects = config.objects ?? [];
    const caches = plan.take(DescriptorCaches.bytes(CACHES_MAX + objects.length));
    this.state = plan.take(config.stateBytes ?? 0);
    const blockBits = plan.take(Math.ceil(blocks / 8) * 4);
    const zoneTable = cost.pageblock > 0 ? plan.take(blocks * cost.pageblock) : (0 as Ref);
    const heapTable = plan.take(ArenaHeap.bytes(heapLimit));
    const room = config.device;
    const pageArray = plan.takePages(config.frames * cost.page);
    const areaFirst = room === undefined ? 0 : pageArray + (room.first * cost.page) / 16;
    const stride = room === undefined ? 0 : DEVICE_RECORD_BYTES[choice.deviceRecord];
    this.deviceRecords = plan.takePages((room?.private ?? 0) * stride);
    this.deviceSpaces = plan.takePages(room === undefined ? 0 : DEVICE_SPACES * DEVICE_SPACE_SIZE);
    const areaPages = room === undefined ? 0 : plan.end() - areaFirst / refsPerPage;
    const areaTable = plan.take(room === undefined ? 0 : DeviceArea.bytes(areaPages));
    const heapFirst = plan.end();
    const heapPages = Math.min(heapLimit, ARENA_LIMIT / this.pageSize - heapFirst);
    if (heapPages < HEAP_SLACK) {
      throw new DesignError(
        `${choice.name}: a page array of ${formatBytes(config.frames * cost.page)} leaves no room for descriptors in an arena of ${formatBytes(ARENA_LIMIT)}`,
      );
    }

    const w = makeWords(bytes((heapFirst + heapPages) * this.pageSize));
    this.w = w;
    this.zones = new Zones(
      w,
      config.zones,
      zoneRuns(config.zones, config.frames, config.owners),
      zoneTable,
      blockBits,
    );
    this.design = createWord(choice, {
      w,
      base: pageArray,
      frames: config.frames,
      zones: this.zones,
      addressSpace,
      anonVma,
      globals,
    });
    this.#refuseBeyondReach();
    this.buddy = new Buddy(w, this.design, this.zones, zoneRefs);
    this.allocator = new PageAllocator(this.buddy, pcpRefs, config.cpus);
    this.rcu = new Rcu(w, rcu, config.cpus);
    this.heap = new ArenaHeap(w, heapTable, heapFirst, heapFirst + heapPages, refsPerPage);
    this.caches = new DescriptorCaches(
      w,
      this.design,
      this.allocator,
      this.heap,
      this.rcu,
      caches,
      choice.freePointer,
      objects,
    );
    this.deviceFirst = room?.first ?? config.frames;
    this.deviceArea =
      room === undefined
        ? null
        : new DeviceArea(
            w,
            areaTable,
            this.allocator,
            this.design,
            areaFirst / refsPerPage,
            areaPages,
            refsPerPage,
          );
    const present = config.present.reduce((sum, p) => sum + p.end - p.start, 0);
    this.pageArrayBytes = bytes(present * cost.page);
    this.zoneTableBytes = bytes(Math.ceil(present / PAGEBLOCK_PAGES) * cost.pageblock);
    this.#initZones(zoneRefs, pcpRefs);
    this.#initPages();
  }

  #refuseBeyondReach(): void {
    if (this.config.frames > 2 ** 31)
      throw new DesignError(
        `frame numbers end at 2^31 (8 TiB); this machine has ${this.config.frames} frames`,
      );
    for (const z of this.config.zones) {
      // A device's frames are on no free list.
      if (z.spanned <= this.design.reach || z.type === ZONE_DEVICE) continue;
      throw new DesignError(
        `${this.choice.name}: a zone of node ${z.node} spans ${z.spanned} frames; free-list links inside the word reach ${this.design.reach}`,
      );
    }
  }

  #initZones(zoneRefs: Int32Array, pcpRefs: Int32Array): void {
    for (const [i, z] of this.config.zones.entries()) {
      const ref = zoneRefs[i] as Ref;
      this.w.store32(ref, ZONE_WATERMARK_MIN, z.min);
      this.w.store32(ref, ZONE_WATERMARK_LOW, z.low);
      this.w.store32(ref, ZONE_WATERMARK_HIGH, z.high);
      this.w.store32(ref, ZONE_LOWMEM_RESERVE, z.reserve);
      for (let cpu = 0; cpu < this.config.cpus; cpu++) {
        const pcp = pcpRefs[i * this.config.cpus + cpu] as Ref;
        this.w.store32(pcp, PCP_HIGH, this.config.pcp[i].high);
        this.w.store32(pcp, PCP_BATCH, this.config.pcp[i].batch);
      }
    }
  }

  #initPages(): void {
    this.zones.setAllMovable(this.config.frames);
    for (const run of this.zones.runs) {
      for (const p of this.config.present) {
        const start = Math.max(run.start, p.start);
        const end = Math.min(run.end, p.end);
        if (start < end) this.design.blankRun(start, end - start, run.zone);
      }
    }
  }

  /**
   * memblock_free_pages: gives frames that nobody owns to the allocator, in the
   * largest aligned blocks, each behind those that are free already.
   */
  giveRange(start: number, end: number): void {
    for (const run of this.zones.runs) {
      const last = Math.min(end, run.end);
      for (let pfn = Math.max(start, run.start); pfn < last;) {
        let order = 0;
        while (order < MAX_ORDER && pfn % 2 ** (order + 1) === 0 && pfn + 2 ** (order + 1) <= last)
          order++;
        this.buddy.giveLarge(run.zone, pfn, order, true);
        pfn += 2 ** order;
      }
    }
  }

  /** Frames that hold the page array: reserved, never given to the allocator. */
  reserveRange(start: number, end: number): void {
    for (const run of this.zones.runs) {
      const [from, to] = [Math.max(start, run.start), Math.min(end, run.end)];
      if (from >= to) continue;
      this.design.bindRun(
        from,
        to - from,
        { ...BLANK_IMAGE, subtype: MISC_RESERVED, zone: run.zone },
        0 as Ref,
        0,
      );
    }
  }

  /** Frames on the free lists of all zones; those on per-CPU lists are not among them. */
  freeFrames(): number {
    return this.config.zones.reduce((sum, _, zone) => sum + this.buddy.freePages(zone), 0);
  }

  /** alloc_pages: a block without refcount semantics of its own (Misc, unknown owner); frame or ENOMEM. */
  allocPages(order: number, migrateType = MIGRATE_UNMOVABLE): number {
    const pfn = this.allocator.alloc(order, migrateType);
    if (pfn < 0) return pfn;
    this.design.bindMisc(pfn, order, MISC_UNKNOWN, false, this.design.zoneOf(pfn));
    return pfn;
  }

  /** Frees what `allocPages` gave. */
  freePages(pfn: number, order: number): void {
    this.design.release(pfn, order);
    this.allocator.free(pfn, order);
  }

  /**
   * A folio with one reference, in the published order: descriptor, pages with
   * the tagged value in every word, contents, reference count last. Frame of its
   * first page, or ENOMEM (EINVAL for a type without a code) with nothing changed.
   */
  allocFolio(order: number, type: PageType, effort: number = ALLOC_LOW): number {
    const pfn = this.#allocDescribed(order, type, MIGRATE_MOVABLE, effort);
    if (pfn < 0) return pfn;
    this.folio = this.design.descriptorOf(pfn);
    this.w.store32(this.folio, this.design.folio.refcount, 1);
    return pfn;
  }

  /**
   * A block of any other type that the design can hold: slab, page table, …;
   * ENOMEM, or EINVAL for a type that it cannot, with nothing changed.
   */
  allocTyped(order: number, type: PageType, effort: number = ALLOC_LOW): number {
    if (isFolioType(type))
      throw new RuleViolation("folios are allocated with allocFolio", -1, `type ${type}`);
    return this.#allocDescribed(order, type, MIGRATE_UNMOVABLE, effort);
  }

  #allocDescribed(order: number, type: PageType, migrateType: number, effort: number): number {
    if (order < 0 || order > MAX_ORDER) return ENOMEM;
    if (!this.design.holds(type)) return EINVAL;
    const cache = this.design.cacheFor(type, order);
    // Only a descriptor from a fresh slab needs to know what there was before it.
    const fresh = cache >= 0 && this.caches.mustGrow(cache);
    const slabs = fresh ? this.caches.slabs(cache) : -1;
    const slabSlabs = fresh ? this.caches.slabSlabs() : -1;
    const descriptor = cache < 0 ? (0 as Ref) : this.caches.alloc(cache, effort);
    if (cache >= 0 && descriptor === 0) return ENOMEM;
    const pfn = this.allocator.alloc(order, migrateType, effort);
    if (pfn < 0) {
      if (fresh) this.caches.undo(cache, descriptor, slabs, slabSlabs);
      else if (cache >= 0) this.caches.free(cache, descriptor);
      return pfn;
    }
    this.#describe(pfn, order, type, descriptor, this.allocator.zone);
    return pfn;
  }

  #describe(pfn: number, order: number, type: PageType, descriptor: Ref, zone: number): void {
    this.design.bind(pfn, order, type, descriptor);
    this.design.initFolio(pfn, order, type, descriptor, zone);
  }

  /**
   * Makes a folio with one reference of a block that belongs to nobody: taken
   * from the allocator before, or from a pool. False without memory for its
   * descriptor.
   */
  adoptFolio(pfn: number, order: number, type: PageType, effort: number = ALLOC_LOW): boolean {
    const cache = this.design.cacheFor(type, order);
    const descriptor = cache < 0 ? (0 as Ref) : this.caches.alloc(cache, effort);
    if (cache >= 0 && descriptor === 0) return false;
    this.#describe(pfn, order, type, descriptor, this.design.zoneOf(pfn));
    this.w.store32(this.design.descriptorOf(pfn), this.design.folio.refcount, 1);
    return true;
  }

  /** Takes a folio's descriptor away; its block belongs to nobody and is the caller's to keep. */
  disownFolio(pfn: number): void {
    const { design } = this;
    const order = design.orderOf(pfn);
    const cache = design.cacheFor(design.typeOf(pfn), order);
    const descriptor = cache < 0 ? (0 as Ref) : design.separateOf(pfn);
    design.release(pfn, order);
    if (cache >= 0) this.caches.free(cache, descriptor);
  }

  /** folio_get on a folio that is already held. */
  getFolio(pfn: number): void {
    this.w.add32(this.design.descriptorOf(pfn), this.design.folio.refcount, 1);
  }

  /** folio_put: the last reference frees the folio, its descriptor and its pages. */
  putFolio(pfn: number): void {
    if (this.w.add32(this.design.descriptorOf(pfn), this.design.folio.refcount, -1) === 0)
      this.freeTyped(pfn);
  }

  /** Frees a described block, any page of which is given: words first, then the descriptor, then the pages. Allocates nothing. */
  freeTyped(page: number): void {
    const pfn = this.design.blockOf(page);
    this.freeBlock(pfn, this.design.orderOf(pfn));
  }

  /** The same where first frame and order are known. */
  freeBlock(pfn: number, order: number): void {
    const { design } = this;
    const cache = design.cacheFor(design.typeOf(pfn), order);
    const descriptor = cache < 0 ? (0 as Ref) : design.separateOf(pfn);
    design.release(pfn, order);
    if (cache >= 0) this.caches.free(cache, descriptor);
    this.allocator.free(pfn, order);
  }
}

/** Nothing in particular: Misc, order 0. Spread over it what is known. */
export const BLANK_IMAGE = {
  type: 0 as PageType,
  subtype: MISC_UNKNOWN,
  mappable: false,
  order: 0,
  flags: 0,
  tailFlags: 0,
  mappingBits: 0,
  mapcount: 0,
  memcg: 0,
  hugetlb: false,
  rmappable: false,
  slabCache: 0,
  slabInuse: 0,
  zone: 0,
} as const;
