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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

#define DEFINITION_VERSION  1
#define DEFINITION_NAME_MAX 64 /* bytes: letters, digits, '-', '_', '.'; first a letter or digit \
				*/
#define DEFINITION_CONTROLLERS_MAX  4
#define DEFINITION_LUNS_MAX         64
#define DEFINITION_DISKS_MAX        (DEFINITION_CONTROLLERS_MAX * DEFINITION_LUNS_MAX)
#define DEFINITION_PROCESSORS_MAX   64
#define DEFINITION_COMMAND_LINE_MAX 2047 /* bytes */

enum definition_engine { DEFINITION_ENGINE_AUTO, DEFINITION_ENGINE_KERNEL, DEFINITION_ENGINE_USER };

enum definition_pages {
	DEFINITION_PAGES_TRANSPARENT, /* "transparent": huge where the host has them */
	DEFINITION_PAGES_HUGETLB,     /* "hugetlb" */
	DEFINITION_PAGES_SMALL,       /* "small" */
};

enum definition_action {
	DEFINITION_ACTION_RESTART,
	DEFINITION_ACTION_STOP,
	DEFINITION_ACTION_KEEP
};

enum definition_drive { DEFINITION_DRIVE_DISK, DEFINITION_DRIVE_DVD };

struct definition_disk {
	unsigned controller, lun;
	enum definition_drive drive; /* "type": "disk" or "dvd" */
	char *path;                  /* absolute; NULL: an empty DVD drive */
	char *format;                /* "raw"; never guessed */
	char *serial; /* VPD page 80; NULL: derived from the VM's uuid, controller and lun */
	bool read_only;
	bool direct; /* "cache": "direct" (default; O_DIRECT where the target allows) or "buffered"
		      */
	unsigned sector_size; /* logical: 512 or 4096 */
};

struct definition {
	char *name;
	struct guid uuid;
	char *notes;
	struct {
		unsigned count, sockets, cores, threads; /* count = sockets * cores * threads */
	} processors;
	struct {
		uint64_t size; /* bytes, multiple of 2 MiB */
		enum definition_pages pages;
		bool shared;
	} memory;
	enum definition_engine engine;
	struct {
		char *kernel, *initrd; /* absolute paths; initrd may be NULL */
		char *command_line;
	} boot;
	struct definition_disk *disks;
	size_t disk_count;
	struct {
		bool shutdown, heartbeat;
	} services;
	struct {
		enum definition_action reboot, triple_fault, crash;
	} actions;
};

/* Where and why a definition was refused. */
struct definition_error {
	int line;          /* 1-based; 0 if not known */
	char key[128];     /* "disks[2].lun"; "" for the document */
	char message[256]; /* a sentence: what is wrong and what would be right */
};

/* A definition with every default filled in, without name, uuid and disks. Return: 0, -ENOMEM. */
int definition_new(struct definition **ret_definition) MUST_CHECK;
void definition_free(struct definition *definition);
DEFINE_CLEANUP(struct definition *, definition_free)

/*
 * Reads a definition. Return: 0; -EINVAL with *ret_error filled; -ENOMEM.
 * size: bytes of text, which need not end in a NUL; at most 1 MiB is accepted.
 */
int definition_parse(const char *text, size_t size, struct definition **ret_definition,
		     struct definition_error *ret_error) MUST_CHECK;

/* The same from a file. Return: as above, or -errno of open(2) and read(2). */
int definition_load(const char *path, struct definition **ret_definition,
		    struct definition_error *ret_error) MUST_CHECK;

/* All members, defaults too. New reference; NULL without memory. */
struct json_object *definition_to_json(const struct definition *definition);

/* Checks what no single key shows (two disks on one lun, …). Return: as definition_parse(). */
int definition_check(const struct definition *definition,
		     struct definition_error *ret_error) MUST_CHECK;
