/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Work on the file of a disk, by a process that has the rights of whose file it is.
 *
 * The process is a helper process (vmms/base/helper.h) that becomes that user for good. It reports
 * how far it is, what it has found, and how it ended; and is told to stop by any message, or by the
 * daemon's end: then it takes back what it has begun. It is not killed with the daemon, so that it
 * can.
 *
 * Thread: the process has one.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "common/base/json.h"
#include "vmms/disk/disk_request.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum disk_word {
	DISK_WORD_PROGRESS, /* done, total */
	DISK_WORD_FOUND,    /* text: a piece of JSON, of `size` bytes */
	DISK_WORD_LARGER, /* text: the uuid of a VM, 16 bytes; done, total: controller and lun of its disk */
	DISK_WORD_DONE,
	DISK_WORD_FAILED, /* name: of the error; text: for people */
};

#define DISK_PIECE_MAX  4096
#define DISK_RESULT_MAX (512 * 1024) /* bytes of JSON */

/* What it says. From a process that reads hostile images: to be checked. */
struct disk_message {
	uint32_t word, size;
	uint64_t done, total;
	char name[64];
	char text[DISK_PIECE_MAX];
};

/* Who uses the file of a disk. */
struct disk_user {
	const char *name; /* of a VM */
	bool saved;       /* it does not run, and counts on what it finds when it does */
	bool checkpoint;  /* the file is one of its checkpoints', and others stand on it */
	bool may_grow;    /* it runs, and the file is a raw disk of it that is written */
	struct guid uuid; /* of the VM */
	unsigned controller, lun;
};

/* Borrowed by the process, which has a copy of all of the daemon's memory. */
struct disk_work_config {
	const struct disk_request *request;
	uid_t user; /* (uid_t)-1: whose the folder of the file is; may be who we are */

	/*
	 * The VM that runs, or is saved, and has this file, or that has it in a checkpoint. name: NULL: that user may not know of it.
	 * Return: whether there is one.
	 */
	bool (*find_vm)(void *data, const struct stat *status, struct disk_user *ret_user);
	void *data;

	const char *guard; /* path of the library that confines programs (vmms/image/guard/) */
	uid_t stranger;    /* the user that a program becomes where we are root; 0: none */
};

struct disk_work {
	const struct disk_work_config *config;
	const struct disk_request *request;
	int socket;
	int guard; /* -1: it cannot be opened */
	bool stopped;
	uint64_t told_at; /* microseconds: of the last progress */
	struct json_object *found;
	struct failure *failure;
};

/* A helper process's work. data: struct disk_work_config. */
void disk_work_run(int socket, void *data);

/* ---- For operations ---- */

/*
 * How far it is, which is told now and then. Return: whether it is to go on; if not, what was begun
 * is to be taken back, and disk_work_stop() says so.
 */
bool disk_work_goes_on(struct disk_work *work, uint64_t done, uint64_t total) MUST_CHECK;
int disk_work_stop(struct disk_work *work);

/* What an error number is to a person. path: of the file. Return: negative. */
int disk_work_refuse(struct disk_work *work, const char *path, const char *what, int error);

/* The disk of a VM that runs has become larger. */
void disk_work_tell_larger(struct disk_work *work, const struct disk_user *user);

/* The operations. Return: 0; negative with *work->failure filled. */
int disk_create(struct disk_work *work) MUST_CHECK;
int disk_create_child(struct disk_work *work) MUST_CHECK; /* of request->parent */
int disk_info(struct disk_work *work) MUST_CHECK;
int disk_check(struct disk_work *work) MUST_CHECK;
int disk_convert(struct disk_work *work) MUST_CHECK;
int disk_resize(struct disk_work *work) MUST_CHECK;
int disk_compact(struct disk_work *work) MUST_CHECK;
int disk_map(struct disk_work *work) MUST_CHECK;
int disk_merge(struct disk_work *work) MUST_CHECK;
int disk_rebase(struct disk_work *work) MUST_CHECK;
