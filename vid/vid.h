/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Partitions, virtual processors and guest memory: the hypervisor interface.
 *
 * Everything that is KVM's stays behind this header; what the Hyper-V personality (hvshim/) and
 * the worker (vmwp/) see are partitions, vps, typed exits, interrupts and doorbells. Guest memory
 * is an object of its own, made before a partition and outliving it, so that a guest reset can
 * build a new partition around the same memory.
 *
 * Errors: negative errno is a host fault. Nothing a guest does makes these functions fail, except
 * where a VID_E_ code is named.
 *
 * Threads: a vp's functions belong to the thread that runs the vp, except vid_vp_kick(). Memory
 * access, interrupts (their routes too), doorbells and connections may be used from any thread.
 * Making and freeing partitions, memory and vps belongs to one thread at a time.
 *
 * Process: vid_open() installs a handler that does nothing for VID_SIGNAL, which vid_vp_kick()
 * sends to the thread of a running vp. No thread that runs a vp may block it.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/gpa.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VID_SIGNAL SIGUSR1

enum {
	_VID_E_OK,
	VID_E_NOT_NOW, /* the guest's state does not admit it: try again later */
};

struct vid;           /* an open hypervisor device */
struct vid_memory;    /* the RAM of one guest */
struct vid_partition; /* one guest */
struct vid_vp;        /* one virtual processor */
struct vid_interrupt; /* a way for the host to interrupt the guest */

/* ---- The hypervisor device ---- */

/* What this host's KVM can do, as found when it was opened. */
struct vid_capabilities {
	bool user_memory, irqchip, irqfd, irqfd_resample, ioeventfd, immediate_exit;
	bool user_space_msr, msr_filter;  /* both: the user-space engine can run */
	bool hyperv_cpuid, hyperv_synic2; /* both: the in-kernel engine can run */
	bool hyperv_eventfd;
	bool hyperv_vapic; /* vid_vp_set_msr() of Hyper-V's EOI, ICR and TPR does what they do */
	bool tsc_deadline, tsc_khz, x2apic_api;
	bool read_only_memory, pit2, pit_state2; /* all: a BIOS can run */
	bool apic_virtualization; /* the CPU delivers interrupts and takes EOIs without exits */
	unsigned max_vps, max_interrupt_routes;
	unsigned max_apic_id; /* the largest that a vp can have */
	unsigned api_version;
	char implementation[32]; /* "kvm_amd", "kvm_intel" or "unknown" */
};

/*
 * Opens /dev/kvm, or takes over `fd` (closed on success and on failure alike) if it is not -1.
 * Return: 0, even if the host lacks what a partition needs, so that it can be reported; -ENOENT,
 * -EACCES, … of open(2); -ENOTTY if fd is not KVM; -ENOTSUP if it is not the stable KVM API (12).
 */
int vid_open(int fd, struct vid **ret_vid) MUST_CHECK;
void vid_close(struct vid *vid);
DEFINE_CLEANUP(struct vid *, vid_close)
const struct vid_capabilities *vid_capabilities(const struct vid *vid);

/*
 * What every partition needs and this host lacks: the name of the i-th such capability
 * ("KVM_CAP_IRQFD"), NULL after the last. vid_partition_new() gives -ENOTSUP unless there is none.
 */
const char *vid_missing(const struct vid *vid, size_t i);

/*
 * Looks at what sysfs says of this host's KVM, which vid_open() does by itself if nobody did: for a
 * process that will not see sysfs by then. Thread: the process's only one.
 */
void vid_look_at_host(void);

/*
 * All ioctl(2) requests that vid/ makes, the most frequent first: for a process that wants to be
 * able to make no other. Return: an array, for good.
 */
const unsigned long *vid_requests(size_t *ret_count);

/* How fast guest code runs: nanoseconds per iteration of a two-instruction loop. */
struct vid_calibration {
	double kernel_mode_ns; /* in ring 0 */
	double host_ns;        /* the same loop on the host */
	bool native;           /* ring 0 is within 20 times of the host: stock kernels will boot */
};

/* Runs a small guest for some milliseconds. Return: 0, or -errno. */
int vid_calibrate(struct vid *vid, struct vid_calibration *ret_calibration) MUST_CHECK;

/* ---- CPUID ---- */

struct vid_cpuid_leaf {
	uint32_t function, index;
	bool indexed; /* `index` (ECX) matters */
	uint32_t eax, ebx, ecx, edx;
};

#define VID_CPUID_MAX 256

struct vid_cpuid {
	size_t count;
	struct vid_cpuid_leaf leaves[VID_CPUID_MAX];
};

/* All that the hypervisor supports, hypervisor leaves (0x40000000…) left out. */
int vid_cpuid_supported(struct vid *vid, struct vid_cpuid *ret_cpuid) MUST_CHECK;

/* The leaf, or NULL. */
struct vid_cpuid_leaf *vid_cpuid_find(struct vid_cpuid *cpuid, uint32_t function, uint32_t index);

/* Replaces or adds a leaf. Return: 0, or -E2BIG. */
int vid_cpuid_set(struct vid_cpuid *cpuid, const struct vid_cpuid_leaf *leaf) MUST_CHECK;
void vid_cpuid_remove(struct vid_cpuid *cpuid, uint32_t function);

/* ---- Guest memory ---- */

enum vid_memory_backing {
	VID_MEMORY_TRANSPARENT_HUGE, /* anonymous, aligned and advised for 2 MiB pages */
	VID_MEMORY_HUGETLB,          /* 2 MiB pages reserved beforehand */
	VID_MEMORY_SMALL,            /* 4 KiB pages, for comparison and tests */
};

struct vid_memory_region {
	gpa_t gpa;     /* page-aligned */
	uint64_t size; /* bytes, page-aligned */
};

int vid_memory_new(struct vid_memory **ret_memory) MUST_CHECK;
void vid_memory_free(struct vid_memory *memory);
DEFINE_CLEANUP(struct vid_memory *, vid_memory_free)

/*
 * Adds RAM, zero-filled. shared: a memfd that vid_memory_share() can hand out; else anonymous.
 * Partitions that are already attached see it at once. Return: 0; -ENOMEM; -EEXIST if it overlaps
 * what is there; -ENOSPC without a free slot.
 */
int vid_memory_add(struct vid_memory *memory, struct vid_memory_region region,
		   enum vid_memory_backing backing, bool shared) MUST_CHECK;

/*
 * The same with what is in a memfd that vid_memory_share() handed out in another process, taken over
 * unless this fails. Return: as above; -EINVAL: it is none of that size, or its size may change.
 */
int vid_memory_add_shared(struct vid_memory *memory, struct vid_memory_region region,
			  enum vid_memory_backing backing, int fd) MUST_CHECK;

/*
 * Has pages that are touched from now on taken from that node of the host as long as it has any.
 * Return: 0; -EINVAL: they are not whole pages of one region, or there is no such node; -errno.
 */
int vid_memory_prefer(struct vid_memory *memory, struct vid_memory_region range,
		      uint32_t host_node) MUST_CHECK;

#define VID_HOST_NODE_MAX 1023

size_t vid_memory_region_count(const struct vid_memory *memory);
struct vid_memory_region vid_memory_region(const struct vid_memory *memory, size_t i);

/* Shared regions only: the descriptor, still owned by the memory. -EINVAL for anonymous ones. */
int vid_memory_share(const struct vid_memory *memory, size_t i, uint64_t *ret_offset);

/*
 * The one way from a GPA to host memory. Return: the address of `size` bytes at `gpa`, or NULL
 * unless the whole range lies in one region. Valid as long as the memory. The guest may change
 * what is there at any moment.
 */
void *vid_memory_map(const struct vid_memory *memory, gpa_t gpa, uint64_t size);

/*
 * How many of `size` bytes from gpa on are alike: RAM of one region, or no RAM. size: not 0, and
 * the end is below 2^64.
 */
uint64_t vid_memory_run(const struct vid_memory *memory, gpa_t gpa, uint64_t size,
			bool *ret_is_ram);

/*
 * The guest finds zeros. Pages go back to the host, but for VID_MEMORY_HUGETLB, which keeps what is
 * set aside for it, and takes the time to zero what was touched. No vp may be running.
 */
int vid_memory_discard(struct vid_memory *memory) MUST_CHECK;

/*
 * The same for pages that the guest said it can do without; any thread, while vps run. Host I/O
 * that is under way to them ends in pages that are nobody's. Return: 0; -EINVAL unless they are
 * whole pages of RAM, of one region or of neighbours; -EOPNOTSUPP: of VID_MEMORY_HUGETLB, which
 * keeps what it has; -errno.
 */
int vid_memory_discard_range(struct vid_memory *memory, gpa_t gpa, uint64_t size) MUST_CHECK;

/*
 * Dirty tracking: what vps wrote, from the hypervisor, together with what the host wrote, which
 * every writer reports by vid_memory_mark_written() (a load and a branch while tracking is off).
 */
int vid_memory_track_dirty(struct vid_memory *memory, bool enable) MUST_CHECK;
bool vid_memory_tracks_dirty(const struct vid_memory *memory);
void vid_memory_mark_written(struct vid_memory *memory, gpa_t gpa, uint64_t size);

/*
 * Fetches and clears the dirty bitmap of region i: bit n is page n. bitmap holds `words` words,
 * enough for the region. Return: 0, -EINVAL, or -errno.
 */
int vid_memory_read_dirty(struct vid_memory *memory, size_t i, uint64_t *bitmap,
			  size_t words) MUST_CHECK;

/* ---- A frame buffer ---- */

/* Memory that is none of the guest's RAM, and that it may have at one place at a time. */
struct vid_vram;

/* size: bytes, whole pages; zeros. Return: 0; -EINVAL; -errno. */
int vid_vram_new(uint64_t size, struct vid_vram **ret_vram) MUST_CHECK;

/* It is in no partition. */
void vid_vram_free(struct vid_vram *vram);
DEFINE_CLEANUP(struct vid_vram *, vid_vram_free)

/* The guest may change what is there at any moment. */
uint8_t *vid_vram_bytes(const struct vid_vram *vram);

/* A memfd of its bytes, by which nobody can write or shrink it; the VRAM keeps it. */
int vid_vram_descriptor(const struct vid_vram *vram);

/*
 * Takes it from where it is in the partition, and puts it there, while vps run. No other memory may
 * be there. Return: 0; -EINVAL: not page-aligned; -errno: it is nowhere.
 */
int vid_vram_place(const struct vid_vram *vram, struct vid_partition *partition,
		   gpa_t gpa) MUST_CHECK;
void vid_vram_remove(const struct vid_vram *vram, struct vid_partition *partition);

/* ---- Partitions ---- */

struct vid_msr_range {
	uint32_t first, count;
};

#define VID_MSR_RANGE_MAX 4

/* Memory that the guest cannot write, and that is none of its RAM. */
struct vid_rom {
	gpa_t gpa;         /* page-aligned */
	const void *bytes; /* page-aligned where it is not copied */
	uint64_t size;     /* bytes, whole pages; 0: there is none */
};

struct vid_partition_config {
	struct vid_memory *memory; /* borrowed; or NULL: vid_memory_attach() is to follow */

	/* MSRs whose every access becomes an exit; unused ranges have a count of 0. */
	struct vid_msr_range msr_exits[VID_MSR_RANGE_MAX];

	/* What a BIOS needs. */
	bool pit; /* an 8254, and port 0x61 */
	struct vid_rom rom;

	/* The same, but not copied: what the host writes there is what the guest reads. */
	struct vid_rom flash;
};

/*
 * With in-kernel LAPICs, IOAPIC (GSIs 0 to 23) and PICs. Return: 0; -ENOTSUP (vid_missing(), or MSR
 * exits wanted where KVM has no MSR filter, a ROM where it has no read-only memory, a PIT where it
 * has none); -errno.
 */
int vid_partition_new(struct vid *vid, const struct vid_partition_config *config,
		      struct vid_partition **ret_partition) MUST_CHECK;

/*
 * Whether the flash is memory, as it is at first, or each access to it is an exit. Any thread.
 * Return: 0; -errno.
 */
int vid_partition_show_flash(struct vid_partition *partition, bool shown) MUST_CHECK;

/* Its vps and interrupts must have been freed. The memory stays. */
void vid_partition_free(struct vid_partition *partition);
DEFINE_CLEANUP(struct vid_partition *, vid_partition_free)

/*
 * Gives a partition that was made without it its memory, which is borrowed. Takes milliseconds, in
 * which KVM waits for other CPUs; any thread, as long as nobody else adds memory or uses the
 * partition. Return: 0; -EINVAL: it has memory; -errno.
 */
int vid_memory_attach(struct vid_memory *memory, struct vid_partition *partition) MUST_CHECK;

struct vid_memory *vid_partition_memory(struct vid_partition *partition);
struct vid *vid_partition_device(struct vid_partition *partition);

/* The partition's clock, which begins with it. */
struct vid_clock {
	uint64_t ns;
	uint64_t host_tsc; /* at that moment */
	bool tsc_stable;   /* all vps' TSCs run on together, and at the rate of the clock */
};

/* Any thread. tsc_stable is found out as vps run: before the first has, it may say no. */
int vid_partition_clock(struct vid_partition *partition, struct vid_clock *ret_clock) MUST_CHECK;

/* Drives an IOAPIC pin. Any thread. */
int vid_partition_set_pin(struct vid_partition *partition, unsigned pin, bool level);

/* ---- Virtual processors ---- */

enum vid_exit_kind {
	VID_EXIT_IO_PORT,
	VID_EXIT_MMIO,
	VID_EXIT_MSR_READ,
	VID_EXIT_MSR_WRITE,
	VID_EXIT_HYPERCALL, /* in-kernel engine: a hypercall KVM leaves to us */
	VID_EXIT_SYNIC,     /* in-kernel engine: a SynIC MSR was written */
	VID_EXIT_HALT,      /* only without in-kernel LAPIC */
	VID_EXIT_SHUTDOWN,  /* triple fault */
	VID_EXIT_KICK,      /* vid_vp_kick(), or a signal */
	VID_EXIT_ERROR,     /* the hypervisor cannot go on with this vp; `error` says why */
};

#define VID_EXIT_KINDS (VID_EXIT_ERROR + 1)

struct vid_exit {
	enum vid_exit_kind kind;
	union {
		struct {
			uint16_t port;
			uint8_t size; /* bytes: 1, 2, 4 */
			bool write;
			uint32_t count; /* string instructions: elements at data */
			void *data;     /* written by the handler when reading */
		} io;
		struct {
			gpa_t gpa;
			uint8_t size;
			bool write;
			uint8_t *data;
		} mmio;
		struct {
			uint32_t index;
			uint64_t value; /* when writing */
		} msr;                  /* #GP, unless vid_vp_answer_msr() is called */
		struct {
			uint64_t input;     /* RCX */
			uint64_t params[2]; /* RDX, R8 */
		} hypercall;
		struct {
			uint32_t msr;
			uint64_t control, event_page, message_page;
		} synic;
		struct {
			uint32_t reason;  /* the hypervisor's own number */
			const char *text; /* static */
		} error;
	};
};

/*
 * index: what the guest knows it by, from 0. apic_id: of its LAPIC; equal to the index unless the
 * topology leaves gaps. Vp 0 is the bootstrap processor and ready to run; the others wait for INIT
 * and SIPI. Return: 0, -EEXIST, -errno.
 */
int vid_vp_new(struct vid_partition *partition, uint32_t index, uint32_t apic_id,
	       struct vid_vp **ret_vp) MUST_CHECK;
void vid_vp_free(struct vid_vp *vp);
DEFINE_CLEANUP(struct vid_vp *, vid_vp_free)
uint32_t vid_vp_index(const struct vid_vp *vp);
uint32_t vid_vp_apic_id(const struct vid_vp *vp);

int vid_vp_set_cpuid(struct vid_vp *vp, const struct vid_cpuid *cpuid) MUST_CHECK;

/* In-kernel engine: KVM keeps this vp's SynIC, and tells us of it by exits. After the CPUID. */
int vid_vp_enable_synic(struct vid_vp *vp) MUST_CHECK;

/* In-kernel engine: Hyper-V leaves that KVM supports for this vp. */
int vid_vp_hyperv_cpuid(struct vid_vp *vp, struct vid_cpuid *ret_cpuid) MUST_CHECK;

/*
 * Runs until the guest needs us. Completes the previous exit first. Return: 0 and an exit;
 * -errno if the hypervisor device failed.
 */
int vid_vp_run(struct vid_vp *vp, struct vid_exit *ret_exit) MUST_CHECK;

/* Whether it runs, or is about to: out of date as soon as it is told. Any thread. */
bool vid_vp_is_running(const struct vid_vp *vp);

/* How often vid_vp_run() has returned with an exit of that kind. Any thread. */
uint64_t vid_vp_exits(const struct vid_vp *vp, enum vid_exit_kind kind);

/*
 * What the hypervisor counts by itself: all exits of the CPU from the guest, most of which never
 * come to vid_vp_run(), and how many of them were of some kinds. Any thread.
 */
enum vid_kernel_exit {
	VID_KERNEL_EXIT_ALL,
	VID_KERNEL_EXIT_HALT,
	VID_KERNEL_EXIT_INTERRUPT,        /* of the host */
	VID_KERNEL_EXIT_INTERRUPT_WINDOW, /* the guest can take an interrupt now */
	VID_KERNEL_EXIT_IO,
	VID_KERNEL_EXIT_MMIO,
	VID_KERNEL_EXIT_HYPERCALL,
	VID_KERNEL_EXIT_SIGNAL,
	VID_KERNEL_EXITS,
};

/* 0 where it does not tell. */
void vid_vp_kernel_exits(const struct vid_vp *vp, uint64_t ret_counts[static VID_KERNEL_EXITS]);

/* Makes vid_vp_run() return soon with VID_EXIT_KICK, now or when next called. Any thread. */
void vid_vp_kick(struct vid_vp *vp);

/*
 * Answers of the exit that vid_vp_run() last returned, before running again. An MSR exit that has
 * not been answered faults.
 */
void vid_vp_answer_msr(struct vid_vp *vp, uint64_t value); /* a read; a write is accepted by 0 */
void vid_vp_answer_msr_fault(struct vid_vp *vp);           /* #GP */
void vid_vp_answer_hypercall(struct vid_vp *vp, uint64_t result);

/* Registers: the part that boot protocols and hypercalls need. */
struct vid_registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
};

struct vid_segment {
	uint64_t base;
	uint32_t limit; /* bytes - 1 */
	uint16_t selector;
	uint16_t attributes; /* as in a descriptor: type 0-3, S 4, DPL 5-6, P 7, AVL 8, L 9, D/B 10,
				G 11 */
};

struct vid_system_registers {
	struct vid_segment cs, ds, es, fs, gs, ss, tr, ldt;
	uint64_t gdt_base, idt_base;
	uint16_t gdt_limit, idt_limit;
	uint32_t zero; /* it is stored, too: vid/state.h */
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base;
};

int vid_vp_get_registers(struct vid_vp *vp, struct vid_registers *ret_registers) MUST_CHECK;
int vid_vp_set_registers(struct vid_vp *vp, const struct vid_registers *registers) MUST_CHECK;
int vid_vp_get_system(struct vid_vp *vp, struct vid_system_registers *ret_system) MUST_CHECK;
int vid_vp_set_system(struct vid_vp *vp, const struct vid_system_registers *system) MUST_CHECK;

/*
 * What a linear address is now, by the vp's own page tables. Return: 0; -EFAULT: nothing; -errno.
 */
int vid_vp_translate(struct vid_vp *vp, uint64_t address, gpa_t *ret_gpa) MUST_CHECK;

/* Return: 0; -ENOENT if the hypervisor does not know the MSR or refuses the value; -errno. */
int vid_vp_get_msr(struct vid_vp *vp, uint32_t index, uint64_t *ret_value) MUST_CHECK;
int vid_vp_set_msr(struct vid_vp *vp, uint32_t index, uint64_t value) MUST_CHECK;

/*
 * Lets the guest end interrupts by clearing bit 0 of the byte at gpa (4-aligned), which is set
 * whenever that is enough. Reset turns it off. -EFAULT: gpa is not RAM, or KVM does not have it.
 */
int vid_vp_set_lazy_eoi(struct vid_vp *vp, gpa_t gpa, bool enable) MUST_CHECK;

/* The vp takes this exception (one without error code) before its next instruction. */
int vid_vp_inject_exception(struct vid_vp *vp, uint8_t vector) MUST_CHECK;

/*
 * The vp takes this interrupt before its next instruction; its LAPIC does not know of it, and the
 * guest is not to end it. Only after VID_EXIT_KICK. A vp that waits for INIT or SIPI forgets it, as
 * INIT would have. Return: 0; VID_E_NOT_NOW: the guest has interrupts off, or is at something of
 * the same or a higher priority; -errno.
 */
int vid_vp_inject_interrupt(struct vid_vp *vp, uint8_t vector) MUST_CHECK;

/* Guest TSC frequency in kHz. Return: > 0, or -errno. */
int64_t vid_vp_tsc_khz(struct vid_vp *vp);

/* The guest's TSC now. */
int vid_vp_tsc(struct vid_vp *vp, uint64_t *ret_tsc) MUST_CHECK;

/*
 * Guest TSC minus host TSC, modulo 2^64; the same until the guest writes its TSC. Exact where KVM
 * tells it and where the guest has the host's TSC, else within the time of a system call.
 */
int vid_vp_tsc_offset(struct vid_vp *vp, uint64_t *ret_offset) MUST_CHECK;

/* ---- Interrupts and doorbells ---- */

/*
 * An interrupt is an eventfd that the hypervisor turns into a message-signalled or SynIC
 * interrupt. New ones are unrouted: asserting them does nothing.
 */
int vid_interrupt_new(struct vid_partition *partition, bool want_eoi,
		      struct vid_interrupt **ret_interrupt) MUST_CHECK;
void vid_interrupt_free(struct vid_interrupt *interrupt);
int vid_interrupt_route_msi(struct vid_interrupt *interrupt, uint64_t address,
			    uint32_t data) MUST_CHECK;
/* A fixed, edge-triggered interrupt to one vp, by APIC id. */
int vid_interrupt_route_vector(struct vid_interrupt *interrupt, uint32_t apic_id,
			       uint8_t vector) MUST_CHECK;
/* In-kernel engine: whatever vector the guest gave the SINT. */
int vid_interrupt_route_sint(struct vid_interrupt *interrupt, uint32_t vp,
			     uint32_t sint) MUST_CHECK;
int vid_interrupt_unroute(struct vid_interrupt *interrupt) MUST_CHECK;
/*
 * A non-maskable interrupt to one vp, by APIC id, at once. Any thread. Return: 0; -EAGAIN: the
 * guest has not turned that APIC on; -errno.
 */
int vid_partition_nmi(struct vid_partition *partition, uint32_t apic_id) MUST_CHECK;

int vid_interrupt_fd(const struct vid_interrupt *interrupt);     /* write 1 to assert */
int vid_interrupt_eoi_fd(const struct vid_interrupt *interrupt); /* readable after EOI; or -1 */

/*
 * A 4-byte OUT of `value` to `port` adds 1 to event_fd in the kernel, without an exit. -ENOSPC:
 * no room for more; the OUT then exits.
 */
int vid_doorbell_add(struct vid_partition *partition, uint16_t port, uint32_t value,
		     int event_fd) MUST_CHECK;
int vid_doorbell_remove(struct vid_partition *partition, uint16_t port, uint32_t value,
			int event_fd);

/* In-kernel engine: HvCallSignalEvent on a connection adds 1 to event_fd, without an exit. */
int vid_connection_add(struct vid_partition *partition, uint32_t connection_id,
		       int event_fd) MUST_CHECK;
int vid_connection_remove(struct vid_partition *partition, uint32_t connection_id);
