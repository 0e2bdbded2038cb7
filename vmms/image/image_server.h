/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server of one disk image: qemu-storage-daemon(1), which knows formats that the worker does
 * not, and serves the disk by the network block device protocol.
 *
 * It gets the image, and what the image names, as descriptors from the process that holds them, is
 * told what each of them is for, and opens nothing: its guard (vmms/image/guard/image_guard.h)
 * shuts it in before it looks at them. It serves one connection, ends with that, and outlives this
 * process, as the worker does.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/definition/definition.h"
#include "vmms/base/process.h"
#include "vmms/image/image_chain.h"

#include <systemd/sd-event.h>

#define IMAGE_SERVER_WORDS_MAX 512 /* bytes */

struct image_server;

struct image_server_config {
	const char *program, *guard; /* paths */
	const char *socket;          /* a path that is free, in a folder where nobody else may be */
	uid_t user;                  /* to become; 0: none */
	const char *profile;         /* of AppArmor, that it is under; NULL: none; borrowed */
	const struct definition_disk *disk;
	const struct image_file *files; /* of the image, itself first; borrowed */
	size_t file_count;
	struct file_holder *holder; /* of the files; borrowed */

	/*
	 * The process has ended. words: what it said last, as UTF-8, or how it ended; NULL: it
	 * ended as it should, or another daemon's child did. The owner may free it here.
	 */
	void (*ended)(void *owner, const char *words);
	void *owner;
};

/*
 * *ret_fd: the worker's end of the connection, the caller's to close; the server may still be
 * starting. Return: 0; -ENOENT: there is no such program, or no guard; -errno.
 */
int image_server_start(sd_event *loop, const struct image_server_config *config,
		       struct image_server **ret_server, int *ret_fd) MUST_CHECK;

/* Takes over one that another daemon started. Return: 0; -ESRCH: it has ended; -errno. */
int image_server_adopt(sd_event *loop, const struct image_server_config *config,
		       const struct process *process, struct image_server **ret_server) MUST_CHECK;

const struct process *image_server_process(const struct image_server *server);

/* SIGTERM: it writes down what it has in memory. */
void image_server_signal(struct image_server *server, int signal);

/* Kills the process if it still runs. */
void image_server_free(struct image_server *server);
DEFINE_CLEANUP(struct image_server *, image_server_free)
