/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The definition of a VM: what an administrator wrote, checked.
 *
 * A definition is JSON, read strictly: unknown keys, wrong types, values out of range and
 * contradictions are refused, and the error names line, key and what would be right. The same
 * struct is what the daemon keeps on disk and what a worker is started with. vmms-vm.json(5) is
 * the reference of the keys.
 *
 * A struct definition owns its strings; definition_free() frees it.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "common/base/json.h"
#include "common/definition/cpu_list.h"
#include "common/definition/definition_boot.h"
#include "common/definition/definition_host.h"
#include "common/definition/definition_memory.h"
#include "common/definition/definition_network.h"
#include "common/definition/definition_numa.h"
#include "common/definition/definition_processors.h"
#include "common/definition/definition_resources.h"
#include "common/definition/enlightenments.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEFINITION_VERSION          2             /* older ones are read, too */
#define DEFINITION_SIZE_MAX         (1024 * 1024) /* bytes of text */
#define DEFINITION_PART_MAX         (64 * 1024)   /* bytes of text, of a disk or an adapter */
#define DEFINITION_NAME_MAX         64            /* bytes */
#define DEFINITION_OWNER_MAX        32            /* bytes */
#define DEFINITION_NOTES_MAX        4096          /* bytes */
#define DEFINITION_CONTROLLERS_MAX  4
#define DEFINITION_LUNS_MAX         64
#define DEFINITION_IDE_DISKS        4 /* the first LUNs of controller 0, in generation 1 */
#define DEFINITION_DISKS_MAX        (DEFINITION_CONTROLLERS_MAX * DEFINITION_LUNS_MAX)
#define DEFINITION_SERIAL_MAX       36   /* bytes, printable ASCII without blanks */
#define DEFINITION_COMMAND_LINE_MAX 2047 /* bytes */
#define DEFINITION_DVD_SECTOR_SIZE  2048
#define DEFINITION_CRASH_GRACE      10 /* seconds, unless the definition has another */
/* Of a screen: pixels, which fit 8 MiB together with 4 bytes each. */
#define DEFINITION_VIDEO_WIDTH      1024
#define DEFINITION_VIDEO_HEIGHT     768
#define DEFINITION_VIDEO_WIDTH_MIN  640
#define DEFINITION_VIDEO_HEIGHT_MIN 480
#define DEFINITION_VIDEO_WIDTH_MAX  2560
#define DEFINITION_VIDEO_HEIGHT_MAX 2048
#define DEFINITION_VIDEO_PIXELS_MAX (2u << 20)

#define DEFINITION_CRASH_GRACE_MAX 3600 /* seconds */

enum definition_engine {
	DEFINITION_ENGINE_AUTO,   /* "auto": in-kernel where the host's KVM has it */
	DEFINITION_ENGINE_KERNEL, /* "in-kernel" */
	DEFINITION_ENGINE_USER,   /* "user-space" */
};

/* Which checkpoints are made of it while it runs, where nothing else is said. */
enum definition_checkpoints {
	DEFINITION_CHECKPOINTS_PRODUCTION, /* "production": frozen by the guest, if it can do that */
	DEFINITION_CHECKPOINTS_PRODUCTION_ONLY, /* "production-only": or none is made */
	DEFINITION_CHECKPOINTS_STANDARD,        /* "standard": with memory and devices */
	DEFINITION_CHECKPOINTS_DISABLED,        /* "disabled": none, also while it is off */
};

enum definition_action {
	DEFINITION_ACTION_RESTART,
	DEFINITION_ACTION_STOP,
	DEFINITION_ACTION_KEEP
};

/* What becomes of a VM whose worker has failed. */
enum definition_failure_action { DEFINITION_FAILURE_STOP, DEFINITION_FAILURE_RESTART };

enum definition_cache {
	DEFINITION_CACHE_DIRECT, /* O_DIRECT where the target allows it */
	DEFINITION_CACHE_BUFFERED,
	DEFINITION_CACHE_UNSAFE, /* buffered, and flushes are dropped: for data nobody needs */
};

/* What happens when the host cannot do what the guest asks a disk for. */
enum definition_on_error {
	DEFINITION_ON_ERROR_AUTOMATIC, /* the guest is told, but for want of space: then as pause */
	DEFINITION_ON_ERROR_REPORT,    /* the guest is told */
	DEFINITION_ON_ERROR_PAUSE,     /* the VM is paused until that can be done */
	DEFINITION_ON_ERROR_STOP,      /* the VM is turned off */
};

struct definition_disk {
	unsigned controller, lun;
	enum definition_drive drive; /* "type" */
	char *path;                  /* absolute; NULL: an empty DVD drive */
	char *format;                /* "raw"; never guessed */
	char *serial;   /* VPD page 80; NULL: derived from the VM's uuid, controller and lun */
	bool read_only; /* always true of a DVD */
	enum definition_cache cache;
	enum definition_on_error on_error;
	uint64_t iops, bandwidth; /* in a second: requests, and bytes; 0: no limit */
	unsigned sector_size;     /* logical: 512 or 4096; of a DVD 2048 */
};

struct definition_actions {
	enum definition_action reboot, triple_fault, crash; /* what the guest does */
	unsigned crash_grace;                               /* seconds of silence */
	enum definition_failure_action worker_failure;
};

struct definition {
	char *name;                /* letters, digits, '-', '_', '.'; first a letter or digit */
	struct guid uuid;          /* all zero if the text had none */
	struct guid generation_id; /* all zero: the uuid */
	char *owner;               /* a user of the host, for whom files are opened; NULL: root */
	uint64_t owner_uid; /* that user's number, by which another of the name is known; 0: not
			       kept */
	char *notes;
	struct definition_tags tags;
	struct definition_processors processors;
	struct definition_memory memory;
	struct definition_numa numa;
	enum definition_engine engine;
	enum definition_checkpoints checkpoints;
	bool hyper_v[_ENLIGHTENMENT_COUNT];
	unsigned generation; /* 1: BIOS and disk; 2: UEFI and disk; 0: a kernel is loaded */
	struct definition_boot_order boot_order; /* of a generation */
	struct {
		char *kernel, *initrd; /* absolute paths; kernel NULL: firmware; initrd
					  may be NULL */
		char *command_line;
	} boot;
	struct definition_disk *disks;
	size_t disk_count;
	struct definition_network network; /* "network_adapters" */
	bool keyboard, mouse;              /* synthetic ones */
	struct definition_video {
		bool present;
		unsigned width, height; /* that the guest is advised to begin with */
	} video;
	struct {
		bool shutdown, heartbeat, time, kvp, vss, file_copy, sockets;
		bool hibernation; /* the guest may, and then leaves ballooning alone */
	} services;
	struct definition_actions actions;
	struct definition_automatic_start automatic_start;
	struct definition_automatic_stop automatic_stop;
	bool cluster; /* starts and stops it, and nobody here does by themselves */
	struct definition_resources resources;
};

/* Names of the enums, in their order, closed by NULL. */
extern const char *const definition_engine_names[];
extern const char *const definition_checkpoints_names[]; /* closed by NULL */
extern const char *const definition_action_names[];
extern const char *const definition_failure_action_names[];
extern const char *const definition_drive_names[];
extern const char *const definition_cache_names[];
extern const char *const definition_on_error_names[];

/* A definition with every default filled in, without name, uuid and disks. Return: 0, -ENOMEM. */
int definition_new(struct definition **ret_definition) MUST_CHECK;
int definition_copy(const struct definition *definition,
		    struct definition **ret_definition) MUST_CHECK;

/* name: as definition_name_is_valid() has it. Return: 0, -ENOMEM. */
int definition_rename(struct definition *definition, const char *name) MUST_CHECK;
void definition_free(struct definition *definition);
DEFINE_CLEANUP(struct definition *, definition_free)

/*
 * Reads a definition. Return: 0; -EINVAL with *ret_error filled; -ENOMEM.
 * size: bytes of text, which need not end in a NUL; at most DEFINITION_SIZE_MAX is accepted.
 */
int definition_parse(const char *text, size_t size, struct definition **ret_definition,
		     struct json_error *ret_error) MUST_CHECK;

/* The same from a file. Return: as above, or -errno of open(2) and read(2). */
int definition_load(const char *path, struct definition **ret_definition,
		    struct json_error *ret_error) MUST_CHECK;

/* The same from a tree, as control messages carry it; one of an older version is upgraded. */
int definition_from_json(struct json_object *object, struct definition **ret_definition,
			 struct json_error *ret_error) MUST_CHECK;

/* All members, defaults too. New reference; NULL without memory. */
struct json_object *definition_to_json(const struct definition *definition);

bool definition_name_is_valid(const char *name);

/* The firmware of a generation, as a package of Debian's has it. */
struct definition_firmware {
	const char *name; /* of its descriptor */
	const char *path, *package;
	const char *variables; /* what they are at first, for "uefi-variables"; or NULL */
};

/* NULL: a kernel is loaded. */
const struct definition_firmware *definition_firmware(const struct definition *definition);
bool definition_owner_is_valid(const char *name);

/* "actions" alone; what it leaves out stays in *actions. Return: as definition_from_json(). */
int definition_actions_from_json(struct json_object *object, struct definition_actions *actions,
				 struct json_error *ret_error) MUST_CHECK;
struct json_object *definition_actions_to_json(const struct definition_actions *actions);

/*
 * The text of one disk or adapter, of at most DEFINITION_PART_MAX bytes, as a tree for the
 * functions below. Return: as definition_parse().
 */
int definition_parse_part(const char *text, size_t size, struct json_object **ret_object,
			  struct json_error *ret_error) MUST_CHECK;

/* ---- Disks ---- */

/* Fills *ret_disk, which the caller deinits, from {"controller": …, …}. Return: as above. */
int definition_disk_from_json(struct json_object *object, struct definition_disk *ret_disk,
			      struct json_error *ret_error) MUST_CHECK;
struct json_object *definition_disk_to_json(const struct definition_disk *disk);
void definition_disk_deinit(struct definition_disk *disk);

/* The disk at that place, or NULL. */
struct definition_disk *definition_find_disk(const struct definition *definition,
					     unsigned controller, unsigned lun);

/*
 * Takes over the strings of *disk on success. Return: 0; -EEXIST if its place is taken; -ENOMEM.
 */
int definition_add_disk(struct definition *definition, struct definition_disk *disk) MUST_CHECK;

/* Whether that place is a device of an IDE channel, which comes and goes only while the VM is off. */
bool definition_is_ide(const struct definition *definition, unsigned controller, unsigned lun);

/* Whether it is an image that the guest may write. */
bool definition_disk_is_written(const struct definition_disk *disk);

/* disk: from definition_find_disk(); other such pointers are void afterwards. */
void definition_remove_disk(struct definition *definition, struct definition_disk *disk);
