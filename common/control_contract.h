/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract between the daemon and a worker: the methods and events of the control socket
 * (common/control.h), and what they carry.
 *
 * CONTROL_METHODS and CONTROL_EVENTS below are the one place where that is written down. The worker
 * checks requests by them and the daemon replies and events, as does every stand-in of either; what
 * does not fit is refused as a whole.
 *
 * Methods, and what the table does not tell of them
 *
 *   descriptors     One descriptor for each name; may be sent several times:
 *                     kvm, kernel, initrd, serial
 *                     bios            generation 1's firmware, in place of kernel and initrd
 *                     uefi            generation 2's, likewise
 *                     uefi-variables  the variables that it comes with
 *                     variables       the file that keeps the VM's own; may be empty
 *                     disk:C:L        a disk's image; where the disk's "format" is one that the worker
 *                                     does not know, here and in "attach", a connection to the
 *                                     image's server (common/wire/nbd.h), which may still be
 *                                     starting
 *                     disk:C:L+N      the image that the disk's image stands on, of the same format:
 *                                     its parent, from 1 on, that one's, and so on
 *                     changes:C:L     the map of its changed blocks (common/image/changes_file.h)
 *                     net:NAME:QUEUE  each queue of an adapter's tap, opened with IFF_VNET_HDR, and
 *                                     IFF_MULTI_QUEUE if there are several; QUEUE from 0
 *                     net:NAME        the socket of a user-mode network
 *                     sockets         a stream socket that listens, and leads to ports of the guest
 *                     end             a message queue (mq_overview(7)) in which the worker leaves
 *                                     the data of the last "state" event, and what the VM has used
 *                                     ("used": "boot_us", which is when, "cpu_us", and numbers of
 *                                     the groups "disk" and "network"), of at most CONTROL_END_MAX
 *                                     bytes, for a daemon that was not there to hear it
 *                   An adapter without descriptors exists all the same, with its link down.
 *   configure       The definition, of vmms-vm.json(5), after the descriptors that it needs.
 *   adopt           For a worker that was given a listening socket: a serial line, and a standard
 *                   error. The result is that of "status", after events that tell what is true now,
 *                   and "changed": the number of the last request over the old connection that has
 *                   changed devices or actions, or is about to; 0: none has.
 *   start           The guest's first instruction; the first "state" event follows. "setup": the firmware,
 *                   of generation 2, shows its menus, and boots nothing by itself.
 *   pause, resume, reset
 *   nmi             A non-maskable interrupt for the guest.
 *   dump            With an empty file, which becomes a core file of the guest. That is paused
 *                   meanwhile. Answered when the file is written.
 *   cancel_dump     The answer to "dump" follows.
 *   save            With an empty file, which becomes a saved VM's (docs/state.md). The VM is paused,
 *                   and answered when the file is on the disk: then the file is the VM, and the
 *                   worker only to be stopped; or resumed, when the file has been removed. If it
 *                   fails the VM goes on as before. Where "fork" comes in between, the file is of
 *                   the disks as they have been.
 *   cancel_save     The answer to "save" follows.
 *   restore         In place of "start", with such a file: answered when the VM is as it was saved,
 *                   and paused.
 *   send            With a connected stream socket, over which another worker that has been asked to
 *                   "receive" gets the VM (vmwp/state/moving.h), which runs meanwhile, as fast as
 *                   "bandwidth" (bytes per second) allows. It stands for "max_downtime"
 *                   (milliseconds, 300 if there is none) or so; where its guest writes faster than
 *                   that can be sent, it goes on here, or with "force" stands for longer.
 *                   Answered when it is the other worker's, and only to be stopped here: how often
 *                   its memory was looked through, the bytes that were sent, and how long it
 *                   stood ("blackout", ns). "unknown-outcome": it may be the other's, and stands
 *                   here until it is resumed or stopped. After other errors it goes on as before.
 *   receive         In place of "start": answered when the VM has come, and runs, or is paused if it
 *                   was before.
 *   cancel_move     The answer to "send" or "receive" follows. What has been handed over stays so.
 *   hand_over       To a worker that is to take the place of this one, the VM of which runs: as "save",
 *                   with an empty memfd that can be sealed; but RAM is not written to it, which must
 *                   be shared. All that the VM runs on is sent over the second descriptor, a
 *                   connected SOCK_SEQPACKET socket (vmwp/resource/handover.h), but "kvm". This
 *                   worker keeps all, and can go on as after "save". Cancelled by "cancel_save".
 *   take_over       The other end of that socket, in place of "descriptors", when "hand_over" was
 *                   answered. "configure" and "restore" with the memfd follow.
 *   shutdown        Asks the guest by the shutdown service; "not-connected" if it does not run there.
 *   stop            Turns the VM off: the worker answers and exits.
 *   change_actions  What happens upon the guest's crash and the like, as in the definition, from
 *                   now on.
 *   pin             Which CPUs vps run on from now on, as in the definition's "resources". What can
 *                   be done is done, also where it fails.
 *   set_memory      What the guest is meant to have from now on, of dynamic memory.
 *   attach          A disk as in the definition, with its image unless it is an empty DVD drive;
 *                   after it the image's parent, that one's, and so on.
 *   detach          The guest loses the disk. This, "insert" and "eject" are answered when the
 *                   medium that leaves is closed.
 *   reconnect       Another connection to the server of that disk's image, of which requests are
 *                   made again that were under way over the last one. None: they fail, and all
 *                   later ones.
 *   measure         The raw file of that disk may have become larger: if so, the guest is told. The
 *                   result is the size that the disk has now.
 *   cancel_detach   Nobody waits any more for media that leave: what waits is answered with
 *                   "in_use". They leave the guest all the same, and are closed when their I/O is
 *                   over.
 *   insert, eject   The medium of a DVD drive; "force": though the guest has locked the tray.
 *   prepare_fork    Of these disks, as in the definition, which are VHDX, children are going to be made
 *                   while the guest writes them: answered when their headers say so, and say it
 *                   until "fork" or the worker's end.
 *   fork            These disks, as in the definition from now on, stand on what they have been, and
 *                   get a descriptor each, of a VHDX image that was made as a child of it after
 *                   "prepare_fork". The VM is paused for a moment: all at one instant, of which what
 *                   they have been is on stable storage. All, or after an error none. Where the
 *                   worker ends without having answered, both images of each are whole, and the
 *                   child has all that the guest has written.
 *   begin_backup    These disks, by "controller" and "lun", can be read from now on as they are at one
 *                   instant, for which the VM is paused for a moment; the point of that has a GUID.
 *                   With the file of the map of changed blocks for each, and one for old bytes that
 *                   are overwritten meanwhile, at most "size" of them. Answered when the maps have
 *                   the point; the result is of which disks no changes were known before, and why.
 *   serve_backup    With a stream socket that listens, to which clients come, and speak the network
 *                   block device protocol (vsp/storage/nbd_server.h) with exports "C:L". "releases":
 *                   they may let go of what they have read. Once for each backup.
 *   end_backup      Clients are cut off. "complete": what they have read is a backup, that is durable,
 *                   and what is known of changes begins with that point. A daemon that adopts the
 *                   worker ends what another one has begun.
 *   attach_adapter  An adapter as in the definition, and the descriptors of its back end; of a tap
 *                   by queue.
 *   detach_adapter  The guest loses the adapter.
 *   connect_adapter The descriptors take the place of what the adapter was connected to. The guest
 *                   sees its link go and come back.
 *   disconnect_adapter
 *                   The link goes down, and the descriptors are closed.
 *   status, statistics, disks, processors, capabilities
 *                   What is true now. "saved": by "save", or by "restore", and it has not run since.
 *                   "statistics" are counted from the VM's start, over resets:
 *                   "exits" of vps to the worker, and "kernel_exits" as KVM counts them. A latency
 *                   says how many requests took at most 2^i microseconds, in
 *                   CONTROL_LATENCY_BUCKETS numbers of which the last has all others; and the sum
 *                   of nanoseconds. "disks" has those with a medium. "processors" has features that
 *                   KVM could give the guest and the definition's model does not have, and what the
 *                   guest is told of Hyper-V. "capabilities" is what `vmwp --probe` prints.
 *   inspect         The worker's objects as they are, under the name of the part: of vps from that
 *                   vp on, of channels from that relid on, of others from the one that "first"
 *                   counts to, and of no more than a message holds. "next": where the rest begins,
 *                   if there is more.
 *   list_values, get_value, set_value, delete_value
 *                   Key-value pairs of the guest.
 *   press_keys      Keys that go down and up on the guest's keyboard, at most CONTROL_KEYS_MAX: scan
 *                   codes of set 1, and KEYBOARD_BREAK and the like (common/wire/keyboard.h) from
 *                   bit CONTROL_KEY_FLAGS_SHIFT on. Answered when they are on their way.
 *   take_picture    With a memfd of CONTROL_PICTURE_SIZE bytes that is sealed against shrinking: what the
 *                   guest's screen shows is copied there, rows of pixels without gaps, each of blue,
 *                   green, red and a byte that is nothing. "not-connected": it shows nothing.
 *   show_screen     With a socket that keeps messages apart (SOCK_SEQPACKET), whose other end a process has
 *                   that shows the guest's screen to viewers (common/screen_link.h). It takes the place of
 *                   an earlier one.
 *   freeze          The guest's file systems; they thaw by themselves after so many seconds.
 *   thaw
 *   copy_file       With a regular file. Answered when the guest has it.
 *   cancel_copy     The answer to "copy_file" follows.
 *   open_socket     With a connected stream socket, which becomes a connection to that port of the
 *                   guest. Answered when the guest has taken it.
 *   answer_socket   To a "connect" event: a connected stream socket, or none: nobody listens there.
 *                   An answer to a request that has ended is ignored.
 *
 * Events
 *
 *   state           The reason is one of: guest-shutdown, guest-hibernated, guest-reset,
 *                   triple-fault, crash, stopped, error, disk-error (also of "paused"), reset-loop.
 *   reset           The machine was reset and runs on; how many times so far.
 *   crash           The guest's crash MSRs, as "0x…"; once until it has come up anew.
 *   heartbeat       ok, lost, unknown
 *   vmbus           The version, as "5.3"; "" when the guest has left.
 *   firmware        It says that it boots nothing, and why: "no-boot-device", or "refused-loader" by secure
 *                   boot; "": not any more.
 *   guest           What the guest tells of itself. Addresses have semicolons between them.
 *   memory          What the guest is meant to have ("target", as far as it can), has, and needs and
 *                   has to spare as far as it has said ("reported"), in bytes. "failures": how often
 *                   pages could not be given back to the host. The state is one of: absent,
 *                   negotiating, resting, taking, giving, adding, refused.
 *   thawed          A frozen guest is not any more, without having been asked: limit, gone, or
 *                   unknown: it was told to thaw, and did not answer.
 *   copy            So much of the file is copied; every now and then.
 *   dump            So much of the guest's memory is written; every now and then.
 *   save            The same by "save", or read by "restore", or of a VM that moves.
 *   connect         The guest wants to connect to that port of the host's. "answer_socket" is to
 *                   follow, within some seconds.
 *   ejected         The guest took the medium out of a DVD drive.
 *   disk            "held": requests that wait until the host can carry them out, for space ("full")
 *                   or because of another error ("held"). "errors": those that failed, and the guest
 *                   was told. "error", "operation" and "offset" are of the last failure, and are
 *                   left out before a request has failed.
 *   network         With "state" closed: the back end has ended by itself, and the link is down.
 *                   With "addresses": what the guest says it has there; []: nothing any more.
 */
#pragma once

#include "common/base/json.h"
#include "common/control.h"
#include "common/definition/definition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Words and bounds ---- */

/* What "inspect" tells of. */
enum control_part {
	CONTROL_PART_MACHINE,
	CONTROL_PART_VPS,
	CONTROL_PART_VMBUS,
	CONTROL_PART_CHANNELS,
	CONTROL_PART_GPADLS,
	CONTROL_PART_DEVICES,
	CONTROL_PART_SOCKETS,
	CONTROL_PARTS,
};

/* What an adapter is connected to. */
enum control_backend {
	CONTROL_BACKEND_NONE,   /* no descriptors */
	CONTROL_BACKEND_TAP,    /* one for each queue */
	CONTROL_BACKEND_SOCKET, /* one stream socket; or /dev/null, in its place */
};

/* How a disk is. */
enum control_health {
	CONTROL_HEALTH_OK,
	CONTROL_HEALTH_ERRORS,
	CONTROL_HEALTH_FULL,
	CONTROL_HEALTH_HELD,
	CONTROL_HEALTH_NO_SERVER,
	CONTROL_HEALTH_LOST,
};

/* All are closed by NULL. */
extern const char *const control_part_names[];
extern const char *const control_backend_names[];
extern const char *const control_health_names[];
extern const char *const control_operation_names[]; /* of a disk: read, write, … */
extern const char *const control_pool_names[];      /* in the order of enum ic_kvp_pool */

#define CONTROL_ADDRESSES_MAX        16 /* of an adapter */
#define CONTROL_CRASH_PARAMETERS_MAX 5
#define CONTROL_CRASH_TEXT_MAX       4095 /* bytes, as all of these */
#define CONTROL_GUEST_TEXT_MAX       1024
#define CONTROL_KEY_MAX              769
#define CONTROL_PATH_MAX             4096
#define CONTROL_KEYS_MAX             256 /* that are pressed at once */
#define CONTROL_KEY_FLAGS_SHIFT      16
#define CONTROL_PICTURE_SIZE         (8 << 20) /* bytes: the largest screen */
#define CONTROL_REASON_MAX           1024
#define CONTROL_VALUE_MAX            3073
#define CONTROL_VALUES_MAX           8192                /* that a reply lists */
#define CONTROL_MEMORY_MAX           (UINT64_C(1) << 52) /* bytes that any guest has, or needs */
#define CONTROL_DOWNTIME_MAX         (1000 * 3600)       /* milliseconds */
#define CONTROL_FREEZE_MAX           (24 * 3600)         /* seconds */
#define CONTROL_LATENCY_BUCKETS      24

/* ---- The table ---- */

/*
 * A key has a type, a name, whether it is required or optional, and bounds:
 *
 *   FLAG(key, need)                 true or false
 *   NUMBER(key, need, least, most)  a whole number
 *   TEXT(key, need, most)           of at most that many bytes
 *   WORD(key, need, words)          one of these words
 *   OBJECT(key, need)               read by others, such as a definition
 *   LIST(key, need)                 an array, likewise
 *   TEXTS(key, need, most)          an array of at most so many texts
 *   NUMBERS(key, need, most)        an array of at most so many numbers
 *   PAIRS(key, need, most)          an array of arrays of two texts
 *   GROUP(key, need, keys)          an object with these keys
 *   GROUPS(key, need, keys)         an array of such objects
 *   ANSWERS(key, need, words)       an object, each value of which is one of these words
 *
 * Unknown keys of arguments are refused; those of results and events are ignored, since a worker
 * may be younger than the daemon that has adopted it.
 */
/* clang-format off */
#define CONTROL_ALL CONTROL_FDS_MAX /* descriptors that a message can have */

#define CONTROL_PLACE \
	NUMBER(controller, REQUIRED, 0, DEFINITION_CONTROLLERS_MAX - 1) \
	NUMBER(lun,        REQUIRED, 0, DEFINITION_LUNS_MAX - 1)
#define CONTROL_ADAPTER \
	TEXT(name,         REQUIRED, DEFINITION_ADAPTER_NAME_MAX)
#define CONTROL_POOL \
	WORD(pool,         REQUIRED, control_pool_names)
#define CONTROL_POOL_KEY \
	CONTROL_POOL \
	TEXT(key,          REQUIRED, CONTROL_KEY_MAX)
#define CONTROL_DONE_OF(done) \
	NUMBER(done,       REQUIRED, 0, INT64_MAX) \
	NUMBER(size,       REQUIRED, 0, INT64_MAX)

#define CONTROL_STATUS \
	TEXT(state,         REQUIRED, CONTROL_REASON_MAX) \
	TEXT(engine,        REQUIRED, CONTROL_REASON_MAX) \
	TEXT(vmbus_version, OPTIONAL, CONTROL_REASON_MAX) \
	TEXT(heartbeat,     OPTIONAL, CONTROL_REASON_MAX) \
	NUMBER(vps,         OPTIONAL, 1, UINT32_MAX) \
	NUMBER(resets,      OPTIONAL, 0, UINT32_MAX) \
	FLAG(saved,         OPTIONAL) \
	OBJECT(storage,     OPTIONAL) \
	LIST(network,       OPTIONAL) \
	OBJECT(services,    OPTIONAL)

#define CONTROL_COUNT(key)  NUMBER(key, OPTIONAL, 0, INT64_MAX)
#define CONTROL_NAMED(name) NAMED(name, OPTIONAL, 0, INT64_MAX)

#define CONTROL_EXITS \
	CONTROL_NAMED("io-port") CONTROL_NAMED("mmio") CONTROL_NAMED("msr-read") \
	CONTROL_NAMED("msr-write") CONTROL_NAMED("hypercall") CONTROL_NAMED("synic") \
	CONTROL_NAMED("halt") CONTROL_NAMED("shutdown") CONTROL_NAMED("kick") \
	CONTROL_NAMED("error")
#define CONTROL_KERNEL_EXITS \
	CONTROL_NAMED("all") CONTROL_NAMED("halt") CONTROL_NAMED("interrupt") \
	CONTROL_NAMED("interrupt-window") CONTROL_NAMED("io-port") CONTROL_NAMED("mmio") \
	CONTROL_NAMED("hypercall") CONTROL_NAMED("signal")
#define CONTROL_VMBUS \
	CONTROL_COUNT(interrupts) CONTROL_COUNT(messages) CONTROL_COUNT(timers)
#define CONTROL_DISK \
	CONTROL_COUNT(reads) CONTROL_COUNT(writes) CONTROL_COUNT(flushes) CONTROL_COUNT(unmaps) \
	CONTROL_COUNT(bytes_read) CONTROL_COUNT(bytes_written) CONTROL_COUNT(errors) \
	NUMBERS(read_latency,  OPTIONAL, CONTROL_LATENCY_BUCKETS) \
	NUMBERS(write_latency, OPTIONAL, CONTROL_LATENCY_BUCKETS) \
	CONTROL_COUNT(read_latency_ns) CONTROL_COUNT(write_latency_ns)
#define CONTROL_NETWORK \
	CONTROL_COUNT(sent_frames)     CONTROL_COUNT(sent_bytes)     CONTROL_COUNT(sent_dropped) \
	CONTROL_COUNT(received_frames) CONTROL_COUNT(received_bytes) CONTROL_COUNT(received_dropped)

/* Groups of keys within results. */
#define CONTROL_GROUPS(KEYS) \
	KEYS(exits,        CONTROL_EXITS) \
	KEYS(kernel_exits, CONTROL_KERNEL_EXITS) \
	KEYS(vmbus,        CONTROL_VMBUS) \
	KEYS(disk,         CONTROL_DISK) \
	KEYS(network,      CONTROL_NETWORK) \
	KEYS(health,       CONTROL_HEALTH)

#define CONTROL_HEALTH \
	CONTROL_PLACE \
	WORD(health,        REQUIRED, control_health_names) \
	NUMBER(size,        OPTIONAL, 0, INT64_MAX) \
	NUMBER(sector_size, OPTIONAL, 0, UINT32_MAX) \
	NUMBER(held,        OPTIONAL, 0, INT64_MAX) \
	NUMBER(errors,      OPTIONAL, 0, INT64_MAX) \
	TEXT(error,         OPTIONAL, CONTROL_REASON_MAX) \
	WORD(operation,     OPTIONAL, control_operation_names) \
	NUMBER(offset,      OPTIONAL, 0, INT64_MAX)

#define CONTROL_STATISTICS \
	GROUP(exits,        REQUIRED, exits) \
	GROUP(kernel_exits, OPTIONAL, kernel_exits) \
	GROUP(vmbus,        REQUIRED, vmbus) \
	GROUP(disk,         REQUIRED, disk) \
	GROUP(network,      REQUIRED, network)

#define CONTROL_INSPECTION \
	OBJECT(machine,     OPTIONAL) \
	LIST(vps,           OPTIONAL) \
	OBJECT(vmbus,       OPTIONAL) \
	LIST(channels,      OPTIONAL) \
	LIST(gpadls,        OPTIONAL) \
	OBJECT(devices,     OPTIONAL) \
	LIST(sockets,       OPTIONAL) \
	NUMBER(next,        OPTIONAL, 1, UINT32_MAX)

#define CONTROL_CAPABILITIES \
	FLAG(kvm,                REQUIRED) \
	TEXT(engine,             REQUIRED, CONTROL_REASON_MAX) \
	OBJECT(engines,          REQUIRED) \
	LIST(findings,           REQUIRED) \
	TEXT(implementation,     OPTIONAL, CONTROL_REASON_MAX) \
	NUMBER(api_version,      OPTIONAL, 0, UINT32_MAX) \
	NUMBER(max_vps,          OPTIONAL, 0, UINT32_MAX) \
	OBJECT(kernel_mode,      OPTIONAL) \
	FLAG(runs_stock_kernels, OPTIONAL) \
	LIST(missing,            OPTIONAL)

#define CONTROL_IN_USE \
	FLAG(in_use,        OPTIONAL)

#define CONTROL_PROCESSORS \
	TEXTS(removed,          REQUIRED, UINT32_MAX) \
	ANSWERS(enlightenments, REQUIRED, enlightenment_state_names)

#define CONTROL_GUEST \
	TEXT(host_name,        OPTIONAL, CONTROL_GUEST_TEXT_MAX) \
	TEXT(os_name,          OPTIONAL, CONTROL_GUEST_TEXT_MAX) \
	TEXT(os_version,       OPTIONAL, CONTROL_GUEST_TEXT_MAX) \
	TEXT(os_major,         OPTIONAL, CONTROL_GUEST_TEXT_MAX) \
	TEXT(os_build,         OPTIONAL, CONTROL_GUEST_TEXT_MAX) \
	TEXT(architecture,     OPTIONAL, CONTROL_GUEST_TEXT_MAX) \
	TEXT(services_version, OPTIONAL, CONTROL_GUEST_TEXT_MAX) \
	TEXT(ipv4,             OPTIONAL, CONTROL_GUEST_TEXT_MAX) \
	TEXT(ipv6,             OPTIONAL, CONTROL_GUEST_TEXT_MAX)

#define CONTROL_MEMORY \
	TEXT(state,        OPTIONAL, 31) \
	FLAG(reported,     OPTIONAL) \
	NUMBER(target,     OPTIONAL, 0, CONTROL_MEMORY_MAX) \
	NUMBER(assigned,   OPTIONAL, 0, CONTROL_MEMORY_MAX) \
	NUMBER(demand,     OPTIONAL, 0, CONTROL_MEMORY_MAX) \
	NUMBER(available,  OPTIONAL, 0, CONTROL_MEMORY_MAX) \
	NUMBER(failures,   OPTIONAL, 0, INT64_MAX)

/*
 * A method: whether it needs a machine, which there is from "configure" on; whether it changes
 * devices or actions, as "adopt" tells; how many descriptors come with it; its arguments; and, in a
 * line of its own where there is something, its result.
 */
#define CONTROL_METHODS(METHOD) \
	/*     method              machine  changes  descriptors     arguments */ \
	METHOD(descriptors,        false,   false,   0, CONTROL_ALL, TEXTS(names, REQUIRED, CONTROL_ALL),) \
	METHOD(configure,          false,   false,   0, 0,           OBJECT(definition, REQUIRED),) \
	METHOD(adopt,              true,    false,   2, 2,           , \
		CONTROL_STATUS NUMBER(changed, REQUIRED, 0, UINT32_MAX)) \
	METHOD(start,              true,    false,   0, 0,           FLAG(setup, OPTIONAL),) \
	METHOD(pause,              true,    false,   0, 0,           ,) \
	METHOD(resume,             true,    false,   0, 0,           ,) \
	METHOD(reset,              true,    false,   0, 0,           ,) \
	METHOD(nmi,                true,    false,   0, 0,           ,) \
	METHOD(dump,               true,    false,   1, 1,           ,) \
	METHOD(cancel_dump,        true,    false,   0, 0,           ,) \
	METHOD(save,               true,    false,   1, 1,           ,) \
	METHOD(cancel_save,        true,    false,   0, 0,           ,) \
	METHOD(restore,            true,    false,   1, 1,           ,) \
	METHOD(send,               true,    false,   1, 1,           \
		NUMBER(bandwidth, OPTIONAL, 0, INT64_MAX) \
		NUMBER(max_downtime, OPTIONAL, 1, CONTROL_DOWNTIME_MAX) \
		FLAG(force, OPTIONAL), \
		NUMBER(rounds, REQUIRED, 0, UINT32_MAX) NUMBER(bytes, REQUIRED, 0, INT64_MAX) \
		NUMBER(blackout, REQUIRED, 0, INT64_MAX)) \
	METHOD(receive,            true,    false,   1, 1,           ,) \
	METHOD(cancel_move,        true,    false,   0, 0,           ,) \
	METHOD(hand_over,          true,    false,   2, 2,           ,) \
	METHOD(take_over,          false,   false,   1, 1,           ,) \
	METHOD(shutdown,           true,    false,   0, 0,           \
		FLAG(force, OPTIONAL) FLAG(reboot, OPTIONAL) FLAG(hibernate, OPTIONAL),) \
	METHOD(stop,               false,   false,   0, 0,           ,) \
	METHOD(change_actions,     true,    true,    0, 0,           OBJECT(actions, REQUIRED),) \
	METHOD(pin,                true,    false,   0, 0,           LIST(pinning, REQUIRED),) \
	METHOD(set_memory,         true,    false,   0, 0,           NUMBER(size, REQUIRED, 0, INT64_MAX),) \
	METHOD(attach,             true,    true,    0, CONTROL_ALL, OBJECT(disk, REQUIRED),) \
	METHOD(detach,             true,    true,    0, 0,           CONTROL_PLACE, \
		CONTROL_IN_USE) \
	METHOD(reconnect,          true,    false,   0, 1,           CONTROL_PLACE,) \
	METHOD(measure,            true,    false,   0, 0,           CONTROL_PLACE, \
		NUMBER(size, REQUIRED, 0, INT64_MAX)) \
	METHOD(cancel_detach,      true,    false,   0, 0,           ,) \
	METHOD(insert,             true,    true,    1, 1,           \
		CONTROL_PLACE TEXT(path, OPTIONAL, CONTROL_PATH_MAX), \
		CONTROL_IN_USE) \
	METHOD(eject,              true,    true,    0, 0,           CONTROL_PLACE FLAG(force, OPTIONAL), \
		CONTROL_IN_USE) \
	METHOD(prepare_fork,       true,    false,   0, 0,           LIST(disks, REQUIRED),) \
	METHOD(fork,               true,    true,    1, CONTROL_ALL, LIST(disks, REQUIRED),) \
	METHOD(begin_backup,       true,    false,   2, CONTROL_ALL, \
		LIST(disks, REQUIRED) TEXT(point, REQUIRED, 36) NUMBER(size, REQUIRED, 0, INT64_MAX), \
		LIST(disks, REQUIRED)) \
	METHOD(serve_backup,       true,    false,   1, 1,           FLAG(releases, OPTIONAL),) \
	METHOD(end_backup,         true,    false,   0, 0,           FLAG(complete, OPTIONAL),) \
	METHOD(attach_adapter,     true,    true,    0, CONTROL_ALL, \
		OBJECT(adapter, REQUIRED) WORD(backend, OPTIONAL, control_backend_names),) \
	METHOD(detach_adapter,     true,    true,    0, 0,           CONTROL_ADAPTER,) \
	METHOD(connect_adapter,    true,    true,    0, CONTROL_ALL, \
		CONTROL_ADAPTER WORD(backend, REQUIRED, control_backend_names),) \
	METHOD(disconnect_adapter, true,    true,    0, 0,           CONTROL_ADAPTER,) \
	METHOD(status,             true,    false,   0, 0,           , \
		CONTROL_STATUS) \
	METHOD(statistics,         true,    false,   0, 0,           , \
		CONTROL_STATISTICS) \
	METHOD(disks,              true,    false,   0, 0,           , \
		GROUPS(disks, REQUIRED, health)) \
	METHOD(processors,         true,    false,   0, 0,           , \
		CONTROL_PROCESSORS) \
	METHOD(inspect,            true,    false,   0, 0,           \
		WORD(part, REQUIRED, control_part_names) NUMBER(first, OPTIONAL, 0, UINT32_MAX), \
		CONTROL_INSPECTION) \
	METHOD(capabilities,       true,    false,   0, 0,           , \
		CONTROL_CAPABILITIES) \
	METHOD(list_values,        true,    false,   0, 0,           CONTROL_POOL, \
		PAIRS(values, REQUIRED, CONTROL_VALUES_MAX) FLAG(truncated, REQUIRED)) \
	METHOD(get_value,          true,    false,   0, 0,           CONTROL_POOL_KEY, \
		TEXT(value, REQUIRED, CONTROL_VALUE_MAX)) \
	METHOD(set_value,          true,    false,   0, 0,           \
		CONTROL_POOL_KEY TEXT(value, REQUIRED, CONTROL_VALUE_MAX),) \
	METHOD(delete_value,       true,    false,   0, 0,           CONTROL_POOL_KEY,) \
	METHOD(press_keys,         true,    false,   0, 0,           LIST(keys, REQUIRED),) \
	METHOD(take_picture,       true,    false,   1, 1,           , \
		NUMBER(width, REQUIRED, 1, CONTROL_PICTURE_SIZE) \
		NUMBER(height, REQUIRED, 1, CONTROL_PICTURE_SIZE)) \
	METHOD(show_screen,        true,    false,   1, 1,           ,) \
	METHOD(freeze,             true,    false,   0, 0,           \
		NUMBER(limit, REQUIRED, 1, CONTROL_FREEZE_MAX),) \
	METHOD(thaw,               true,    false,   0, 0,           ,) \
	METHOD(copy_file,          true,    false,   1, 1,           \
		TEXT(path, REQUIRED, CONTROL_PATH_MAX) \
		FLAG(overwrite, OPTIONAL) FLAG(create_path, OPTIONAL),) \
	METHOD(cancel_copy,        true,    false,   0, 0,           ,) \
	METHOD(open_socket,        true,    false,   1, 1,           NUMBER(port, REQUIRED, 0, UINT32_MAX),) \
	METHOD(answer_socket,      true,    false,   0, 1,           NUMBER(request, REQUIRED, 0, UINT32_MAX),)

/* An event, and its data. */
#define CONTROL_EVENTS(EVENT) \
	EVENT(state, \
		TEXT(state,   REQUIRED, CONTROL_REASON_MAX) \
		TEXT(reason,  OPTIONAL, CONTROL_REASON_MAX) \
		TEXT(message, OPTIONAL, CONTROL_REASON_MAX)) \
	EVENT(reset, \
		TEXT(reason,  OPTIONAL, CONTROL_REASON_MAX) \
		NUMBER(resets, OPTIONAL, 0, UINT32_MAX)) \
	EVENT(crash, \
		TEXTS(parameters, OPTIONAL, CONTROL_CRASH_PARAMETERS_MAX) \
		TEXT(text, OPTIONAL, CONTROL_CRASH_TEXT_MAX)) \
	EVENT(heartbeat, TEXT(status, REQUIRED, CONTROL_REASON_MAX)) \
	EVENT(vmbus,     TEXT(version, REQUIRED, CONTROL_REASON_MAX)) \
	EVENT(firmware,  TEXT(state, REQUIRED, CONTROL_REASON_MAX)) \
	EVENT(guest,     CONTROL_GUEST) \
	EVENT(memory,    CONTROL_MEMORY) \
	EVENT(thawed,    TEXT(reason, REQUIRED, CONTROL_REASON_MAX)) \
	EVENT(copy,      CONTROL_DONE_OF(copied)) \
	EVENT(dump,      CONTROL_DONE_OF(done)) \
	EVENT(save,      CONTROL_DONE_OF(done)) \
	EVENT(connect, \
		NUMBER(request, REQUIRED, 0, UINT32_MAX) \
		NUMBER(port,    REQUIRED, 0, UINT32_MAX)) \
	EVENT(ejected,   CONTROL_PLACE) \
	EVENT(disk,      CONTROL_HEALTH) \
	EVENT(network, \
		TEXT(adapter, REQUIRED, DEFINITION_ADAPTER_NAME_MAX) \
		TEXT(state,   OPTIONAL, CONTROL_REASON_MAX) \
		TEXTS(addresses, OPTIONAL, CONTROL_ADDRESSES_MAX))
/* clang-format on */

/* ---- Reading by it ---- */

#define CONTROL_METHOD_ID(name, ...) CONTROL_METHOD_##name,
enum control_method_id { CONTROL_METHODS(CONTROL_METHOD_ID) CONTROL_METHOD_COUNT };

#define CONTROL_EVENT_ID(name, ...) CONTROL_EVENT_##name,
enum control_event_id { CONTROL_EVENTS(CONTROL_EVENT_ID) CONTROL_EVENT_COUNT };

/* The arguments of all methods; what a request has not is 0 or NULL. */
struct control_arguments {
	struct json_object *names, *definition, *disk, *disks, *adapter, *actions, *pinning, *keys;
	char *path, *name, *key, *value, *point;
	unsigned controller, lun, first, limit, port, request;
	unsigned backend; /* enum control_backend */
	unsigned part;    /* enum control_part */
	unsigned pool;    /* enum ic_kvp_pool */
	uint64_t size, bandwidth, max_downtime;
	bool force, reboot, hibernate, overwrite, create_path, listens, releases, complete, setup;
};
void control_arguments_deinit(struct control_arguments *arguments);

/* The data of all events, likewise. */
struct control_event_data {
	struct json_object *parameters, *addresses; /* of texts */
	char *state, *reason, *message, *status, *version, *text, *adapter, *error;
	char *host_name, *os_name, *os_version, *os_major, *os_build, *architecture,
		*services_version, *ipv4, *ipv6;
	unsigned controller, lun, resets, request, port, sector_size;
	unsigned health;    /* enum control_health */
	unsigned operation; /* of control_operation_names */
	uint64_t target, assigned, demand, available, failures;
	uint64_t copied, done, size, held, errors, offset;
	bool reported;
};
void control_event_data_deinit(struct control_event_data *data);

struct control_method {
	enum control_method_id id;
	const char *name;
	bool needs_machine, changes;
	unsigned fds_least, fds_most;
	struct json_key_table arguments, result;
};

/* Why a request is refused. */
struct control_refusal {
	const char *code; /* CONTROL_ERROR_ */
	char text[sizeof(((struct json_error *)NULL)->key) +
		  sizeof(((struct json_error *)NULL)->message) + sizeof(": ")];
};

const struct control_method *control_method(enum control_method_id id);

/* NULL: there is none. */
const struct control_method *control_method_find(const char *name);

/*
 * Checks a request: that its method is there, that the worker has a machine if it needs one, and
 * then how many descriptors and which arguments came with it. Return: 0, the caller deinits
 * *ret_arguments; CONTROL_E_REFUSED with *ret_refusal filled.
 */
int control_request_read(const struct control_message *request, bool has_machine,
			 const struct control_method **ret_method,
			 struct control_arguments *ret_arguments,
			 struct control_refusal *ret_refusal) MUST_CHECK;

/* Checks a result. Return: 0; -EINVAL with the reader's error filled; -ENOMEM. */
int control_result_check(const struct control_method *method, struct json_object *result,
			 struct json_reader *reader) MUST_CHECK;

/*
 * Checks and reads an event's data. Return: 0, the caller deinits *ret_data; CONTROL_E_UNKNOWN: there
 * is no such event; -EINVAL with *ret_error filled; -ENOMEM.
 */
int control_event_read(const char *name, struct json_object *data, enum control_event_id *ret_event,
		       struct control_event_data *ret_data,
		       struct json_error *ret_error) MUST_CHECK;
