/**
 * Device memory of a kernel: the front door of the device layer.
 *
 * `Devices.attach` puts the design's choices together on a kernel that was booted
 * with room for devices: the record, the naming, page maps, service, migration,
 * exclusive access. What drivers call of it is in driver-calls.ts and, for HMM, in
 * hmm/hmm.ts (docs/writing-a-driver.md).
 */
import type { DeviceNaming } from "../design/device-name/axis.js";
import { OffsetName } from "../design/device-name/offset.js";
import { PhysicalName } from "../design/device-name/physical.js";
import { TupleName } from "../design/device-name/tuple.js";
import type { DeviceRecord, DeviceRecordContext } from "../design/device-record/axis.js";
import { DevicePrivateRecord } from "../design/device-record/device-private.js";
import { FolioRecord } from "../design/device-record/folio.js";
import { PageRecord } from "../design/device-record/page.js";
import type { Design } from "../design/presets.js";
import { ERRNO, MmError } from "../errors.js";
import { DEVICE_SPACE_SIZE } from "../layout/generated/offsets.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import { S_DEVICE_NAME } from "../process/core.js";
import type { Kernel } from "../process/kernel.js";
import { MapCounts } from "../process/map-counts.js";
import { O_DEVICE_FOLIO, O_DEVICE_FOLIO_LARGE, O_MAPLE_NODE } from "../process/objects.js";
import { Collect } from "./collect.js";
import { DeviceFolios } from "./device-folios.js";
import { DriverCalls } from "./driver-calls.js";
import { Entries } from "./entries.js";
import { Evict } from "./evict.js";
import { Exclusive } from "./exclusive.js";
import { Hmm } from "./hmm/hmm.js";
import { HoleFill } from "./hole-fill.js";
import { MigratePfns } from "./migrate-pfn.js";
import { MigrateVma } from "./migrate-vma.js";
import { Moves } from "./moves.js";
import { Mutants } from "./mutants.js";
import { Numbers } from "./numbers.js";
import { Pagemaps } from "./pagemaps.js";
import { PhysicalSpace } from "./physical-space.js";
import { PrivateSplits } from "./private-split.js";
import type { DeviceWatch } from "./device-watch.js";
import type { Side } from "./side.js";
import { Transfers } from "./transfers.js";
import { ZoneDevice } from "./zone-device.js";

const NONE = 0 as Ref;

/** Device memory of one kernel. */
export class Devices extends DriverCalls {
  readonly kernel: Kernel;
  readonly base: Base;
  readonly choice: Design;
  readonly record: DeviceRecord;
  readonly naming: DeviceNaming;
  readonly mutants = new Mutants();
  readonly physical: PhysicalSpace;
  readonly zoneDevice: ZoneDevice;
  readonly pagemaps: Pagemaps;
  readonly numbers: Numbers;
  readonly system: Side;
  readonly privates: Side;
  readonly moves: Moves;
  readonly pfns: MigratePfns;
  readonly migrate: MigrateVma;
  readonly evict: Evict;
  readonly exclusive: Exclusive;
  readonly entries: Entries;
  readonly hmm: Hmm;
  readonly privateSplits: PrivateSplits;
  readonly transfers: Transfers;
  /** First device-private page: every frame's number is below it. */
  readonly firstPrivate: number;
  readonly #owners = new Map<object, number>();

  /** Device memory on a kernel. Throws MmError (ENXIO) for one that was booted without room for devices. */
  static attach(kernel: Kernel): Devices {
    return new Devices(kernel);
  }

  private constructor(kernel: Kernel) {
    super();
    const { base, machine } = kernel;
    const room = machine.config.device;
    if (room === undefined || machine.deviceArea === null)
      throw new MmError(
        ERRNO.ENXIO,
        "attach devices",
        "the machine was booted without room for them",
      );
    this.kernel = kernel;
    this.base = base;
    this.choice = machine.choice;
    this.firstPrivate = room.first + room.span;
    this.physical = new PhysicalSpace(room, kernel.deviceRequest);
    const context = this.#recordContext();
    const frames = new PageRecord(context);
    this.record = recordOf(this.choice, context, frames);
    this.naming = this.#namingOf(room.private);
    const folios = new DeviceFolios(base.core, this.record);
    const counts = new MapCounts(
      base.core,
      this.record.layout,
      this.record.countsPages ? this.record : null,
    );
    this.privates = {
      isPrivate: true,
      folios,
      counts,
      pages: this.record,
      folioOf: (page) => this.record.folioOf(page),
    };
    this.system = {
      isPrivate: false,
      folios: base.folios,
      counts: base.counts,
      pages: base.core.design,
      folioOf: (page) => base.folios.ofPage(page),
    };
    this.zoneDevice = new ZoneDevice(
      base,
      this.choice,
      machine.deviceArea,
      { record: frames, folios: base.folios },
      { record: this.record, folios },
      this.firstPrivate,
    );
    folios.onFree = (folio, page) => this.zoneDevice.free(folio, page);
    folios.mappings = (folio, page) => counts.total(folio, this.record.orderOf(page));
    base.folios.toDevice = (folio, page) => this.zoneDevice.free(folio, page);
    machine.deviceArea.onPressure = () => machine.onPressure();
    this.pagemaps = new Pagemaps(
      this.zoneDevice,
      this.naming,
      {
        start: room.first,
        end: room.first + room.span,
        firstPrivate: this.firstPrivate,
        privatePages: room.private,
      },
      this.mutants,
    );
    this.numbers = new Numbers(this.naming, this.record, base.w, this.firstPrivate);
    this.moves = new Moves(base, this.numbers, this.system, this.privates, this.mutants);
    this.pfns = new MigratePfns(this.numbers, this.mutants, room.first);
    const privateSplits = new PrivateSplits(base, this.moves, this.pagemaps, this.zoneDevice);
    this.privateSplits = privateSplits;
    const collect = new Collect(
      base,
      this.pfns,
      this.moves,
      this.pagemaps,
      kernel.splits,
      privateSplits,
    );
    const holes = new HoleFill(base, this.moves, this.pfns, this.pagemaps);
    holes.missing = (vma) => kernel.faults.userfaultfdMissing(vma);
    this.migrate = new MigrateVma(collect, kernel.unmap, kernel.splits, privateSplits, holes);
    this.migrate.ownerId = holes.ownerId = (owner) => this.ownerId(owner);
    this.evict = new Evict(this.migrate, this.zoneDevice);
    this.exclusive = new Exclusive(base, kernel.gup, this.numbers);
    this.entries = new Entries(
      base,
      this.numbers,
      this.privates,
      this.pagemaps,
      this.zoneDevice,
      this.exclusive,
      this.mutants,
    );
    this.entries.expelCoherent = (pfn) => this.evict.coherent(pfn);
    this.hmm = new Hmm(this);
    this.transfers = new Transfers(this);
    base.device = this.entries;
    base.zap.device = this.entries;
  }

  #recordContext(): DeviceRecordContext {
    const { base } = this;
    const { core } = base;
    const { machine } = core;
    return {
      w: base.w,
      pages: core.design,
      zoneBits: machine.zones.bits,
      records: machine.deviceRecords,
      firstPrivate: this.firstPrivate,
      pageOfFolio: (folio) => core.pfnOf(folio),
      alloc: (cache) => {
        let found = machine.caches.alloc(cache);
        while (found === NONE && machine.onPressure()) found = machine.caches.alloc(cache);
        return found;
      },
      free: (cache, descriptor) => machine.caches.free(cache, descriptor),
      allocFolio: (large) => core.newObject(large ? O_DEVICE_FOLIO_LARGE : O_DEVICE_FOLIO),
      freeFolio: (folio, large) =>
        core.freeObject(large ? O_DEVICE_FOLIO_LARGE : O_DEVICE_FOLIO, folio),
    };
  }

  #namingOf(pages: number): DeviceNaming {
    const { base, physical } = this;
    const { core } = base;
    const { machine } = core;
    const { deviceArea: area, deviceSpaces: spaces } = machine;
    const context = {
      w: base.w,
      firstPrivate: this.firstPrivate,
      pages,
      state: (core.state + S_DEVICE_NAME / 16) as Ref,
      spaces,
      physicalBits: physical.bits,
      newNode: () => core.newObject(O_MAPLE_NODE),
      freeNode: (node: Ref) => core.freeObject(O_MAPLE_NODE, node),
      takeSpace: (space: number) =>
        area?.take(spaces, space * DEVICE_SPACE_SIZE, DEVICE_SPACE_SIZE) ?? false,
      giveSpace: (space: number) =>
        area?.give(spaces, space * DEVICE_SPACE_SIZE, DEVICE_SPACE_SIZE),
      looked: (page: number) => this.look(page, "pageOf"),
      findPhysical: (n: number) => physical.find(n),
      givePhysical: (first: number, n: number) => physical.give(first, n),
    };
    switch (this.choice.deviceName) {
      case "physical":
        return new PhysicalName(context);
      case "offset":
        return new OffsetName(context);
      case "tuple":
        return new TupleName(context);
      default:
        return this.choice.deviceName satisfies never;
    }
  }

  /** Number of an owner: owners are compared, 0 is none. */
  ownerId(owner: object | null): number {
    if (owner === null) return 0;
    let id = this.#owners.get(owner);
    if (id === undefined) this.#owners.set(owner, (id = this.#owners.size + 1));
    return id;
  }

  /** Events for the sanitizer; null while it is off. */
  get watch(): DeviceWatch | null {
    return this.zoneDevice.watch;
  }

  set watch(watch: DeviceWatch | null) {
    this.zoneDevice.watch = watch;
  }

  /** What describes and counts a page. */
  sideOf(page: number): Side {
    this.look(page, "page_folio");
    return this.moves.sideOf(page);
  }
}

function recordOf(choice: Design, context: DeviceRecordContext, frames: PageRecord): DeviceRecord {
  switch (choice.deviceRecord) {
    case "page":
      return frames;
    case "folio":
      return new FolioRecord(context);
    case "device-private":
      return new DevicePrivateRecord(context);
    default:
      return choice.deviceRecord satisfies never;
  }
}
