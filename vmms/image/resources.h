/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker needs and may not open itself: /dev/kvm, the kernel, the disks, the serial line.
 *
 * Descriptors are collected under the names of the "descriptors" method
 * (common/control_contract.h), and closed when they have been sent: the worker's copies keep the
 * locks of the images.
 *
 * What a definition names may be on a file system that does not answer: it is opened by a process
 * that may wait (vmms/image/open_helper.h), and the daemon itself never has it open
 * (vmms/image/file_holder.h).
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"
#include "vmms/base/user.h"

#define RESOURCES_NAME_MAX 48

/* Files that images name, of all disks together. */
#define RESOURCES_NAMED_MAX 512

/* The hypervisor, the kernel, the initrd, variables and what they are at first, the serial line, where the end is written down, the
 * sockets, all disks, files that their images name, and queues of adapters. */
#define RESOURCES_MAX                                     \
	(8 + DEFINITION_DISKS_MAX + RESOURCES_NAMED_MAX + \
	 DEFINITION_ADAPTERS_MAX * DEFINITION_ADAPTER_QUEUES_MAX)

struct resources {
	/*
	 * For what may have to wait to be closed: sockets whose other ends processes of a VM have.
	 * NULL: there are no such. whose: the VM's owner; borrowed.
	 */
	struct helpers *helpers;
	const char *whose;

	size_t count;
	char warning[FAILURE_MESSAGE_MAX]; /* of what was opened all the same; "": none */
	struct {
		char name[RESOURCES_NAME_MAX];
		int fd;
		uint64_t
			most; /* bytes that the worker may let the file become; 0: as many as it has */
	} items[RESOURCES_MAX];
};

/* A file that the daemon has not, as the process that opened it describes it. */
struct held_file {
	uint32_t number; /* by which its holder knows it */
	char name[RESOURCES_NAME_MAX];
	bool device;   /* a block device */
	uint64_t size; /* bytes that the file may become; of a device 0 */
	bool direct;   /* opened with O_DIRECT */

	/* By which one that has been changed since is known. */
	uint64_t inode;
	int64_t changed; /* nanoseconds since 1970; -1: not known */
};

void resources_deinit(struct resources *resources);

/* Takes over the descriptor. There is room for what is defined once. */
void resources_add(struct resources *resources, const char *name, int fd);

/* The descriptor of that name, still theirs, or -1. */
int resources_find(const struct resources *resources, const char *name);

/*
 * "disk:0:1"; files that its image names follow, and have longer names (vmms/image/image_chain.h).
 */
void resources_disk_name(const struct definition_disk *disk, char name[RESOURCES_NAME_MAX]);

/* The hypervisor device. */
int resources_open_hypervisor(struct resources *resources, const char *path,
			      struct failure *failure) MUST_CHECK;

/*
 * Who the owner is, for a process that may wait for the answer. owner, owner_uid: as of
 * a definition; owner NULL: root, or the user
 * whose daemon it is. *ret_user: NULL: files are opened as we are.
 */
int resources_find_owner(const char *owner, uint64_t owner_uid, struct user **ret_user,
			 struct failure *failure) MUST_CHECK;

/*
 * r: what looking the owner up has come to. Return: 0 if that is 0; negative with *failure filled.
 */
int resources_refuse_owner(const char *owner, int r, struct failure *failure);

/*
 * From now on we are that owner, for good: for a process that does nothing else. user: may be NULL.
 */
int resources_become_owner(const struct user *user, struct failure *failure) MUST_CHECK;

/* Files that are wanted. */
struct resources_request {
	const struct definition *definition; /* all that it names */
	const struct definition_disk *disk;  /* the medium of this disk alone; or NULL */

	/* The images that it writes, each without its parents, which the worker has. */
	bool alone;

	/*
	 * Descriptors that count instead of paths, of the same names; or NULL. For a file-open
	 * helper each of them is the socket from which all come, in this order
	 * (vmms/bus/call_forwarder.h).
	 */
	const struct resources *passed;

	/* The folder in which a socket is to listen (vmms/base/socket_folder.h); or NULL. */
	const char *sockets;

	/* Who has that image, for the message: the name of a VM, or NULL. */
	const char *(*user)(void *data, const char *path);

	/* Whether another VM of the same owner has it. */
	bool (*owner_uses)(void *data, const char *path);

	/* Whether another VM writes it: one that began beside readers has no lock against them. */
	bool (*is_written)(void *data, const char *path);

	/* Images are opened without their locks, which another worker has: raw ones alone. */
	bool unlocked;

	/*
	 * Processes of the daemon's that have files of this owner open are about to end: an image
	 * that is in use may be so by them, and is waited for. The file-open helper's own.
	 */
	bool waits;

	/* Said before something is looked at, which may take as long as it likes. */
	void (*looks)(void *data, const char *path);
	void *user_data, *looks_data;
};

/* " to its owner 'a'" if that is why; else "". */
const char *resources_rights_text(const struct resources_request *request, int error,
				  char text[static 64]);

/*
 * image_open(), also where a process that may only read the image has locked it: then with a
 * warning. Return: 0; IMAGE_E_; -errno.
 */
struct image;
struct image_options;
int resources_open_image(struct resources *resources, const struct resources_request *request,
			 const char *path, const struct image_options *options,
			 struct image *ret_image) MUST_CHECK;

/* To be said before something is looked at. */
void resources_look(const struct resources_request *request, const char *path);

/*
 * Opens and locks them, as whoever we are. On failure the caller deinits what was opened until
 * then.
 */
int resources_open(struct resources *resources, const struct resources_request *request,
		   struct failure *failure) MUST_CHECK;
