/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a program that tests SCSI devices on a disk of our SCSI target.
 *
 *	sg_target SECTOR-SIZE FILE|- PRELOAD PROGRAM [ARGUMENT...]
 *
 * FILE is a raw image of whole sectors; "-" is a disk in memory. PRELOAD is sg_target_preload.c's
 * library, which brings the program's commands here. Ends as the program does.
 */
#include "tests/conformance/sg_target.h"
#include "common/base/loop.h"
#include "common/image/image.h"
#include "tests/fake/disk_memory.h"
#include "vsp/storage/scsi.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMORY_SIZE (UINT64_C(128) << 20)
#define PIECE_SIZE  4096

struct host {
	int socket;
	struct loop *loop;
	struct loop_operation readable;
	struct scsi_target *target;
	struct scsi_command command;
	uint8_t data[SG_TARGET_TRANSFER];
	struct iovec iov[SG_TARGET_TRANSFER / PIECE_SIZE];
};

static void host_changed(void *data)
{
}

static void host_ejected(void *data, unsigned lun)
{
}

static void die(const char *what)
{
	fprintf(stderr, "sg_target: %s\n", what);
	exit(2);
}

static struct disk *open_disk(struct loop *loop, const char *path, uint32_t sector_size)
{
	struct image_options options = { .sector_size = sector_size };
	struct disk *disk = NULL;
	struct image image;

	if (strcmp(path, "-") == 0) {
		if (disk_memory_new(loop, MEMORY_SIZE, sector_size, &disk))
			die("no memory");
		return disk;
	}
	if (image_open(path, &options, &image) || disk_file_new(loop, &image, sector_size, &disk))
		die("the image cannot be opened");
	return disk;
}

/* ---- Commands ---- */

/* The guest's pages are scattered: so are the command's. */
static void host_scatter(struct host *host, uint32_t length)
{
	unsigned count = 0;

	for (uint32_t offset = 0; offset < length; offset += PIECE_SIZE)
		host->iov[count++] = (struct iovec){ host->data + offset,
						     MIN(length - offset, (uint32_t)PIECE_SIZE) };
	host->command.iov = host->iov;
	host->command.iov_count = count;
}

static bool host_transfer(ssize_t moved, size_t size)
{
	if (moved == 0 && size)
		return false;
	if (moved != (ssize_t)size)
		die("the socket has failed");
	return true;
}

static void host_completed(struct scsi_command *command)
{
	struct host *host = container_of(command, struct host, command);
	struct sg_target_reply reply = {
		.status = command->status,
		.transferred = command->transferred,
	};

	memcpy(reply.sense, command->sense, sizeof(reply.sense));
	host_transfer(send(host->socket, &reply, sizeof(reply), MSG_NOSIGNAL), sizeof(reply));
	if (command->direction == SCSI_DATA_IN && reply.transferred)
		host_transfer(send(host->socket, host->data, reply.transferred, MSG_NOSIGNAL),
			      reply.transferred);
}

static void host_execute(struct host *host, const struct sg_target_request *request)
{
	host->command = (struct scsi_command){
		.cdb_length = request->cdb_length,
		.direction = request->direction,
		.transfer_length = request->direction == SCSI_DATA_NONE ? 0 : request->length,
		.complete = host_completed,
	};
	memcpy(host->command.cdb, request->cdb, sizeof(request->cdb));
	host_scatter(host, host->command.transfer_length);
	scsi_target_execute(host->target, &host->command);
}

/* The program sends a command when it has the reply to the one before. */
static void host_serve(struct loop_operation *operation, int result, bool more)
{
	struct host *host = container_of(operation, struct host, readable);
	struct sg_target_request request;
	ssize_t size = recv(host->socket, &request, sizeof(request), MSG_DONTWAIT);

	if (size < 0 && errno == EAGAIN)
		return; /* what came was the data of a command that has been taken */
	if (!host_transfer(size, sizeof(request))) {
		loop_stop(host->loop);
		return;
	}
	if (request.length > sizeof(host->data) || request.direction > SCSI_DATA_OUT)
		die("a request makes no sense");
	if (request.direction == SCSI_DATA_OUT && request.length)
		host_transfer(recv(host->socket, host->data, request.length, MSG_WAITALL),
			      request.length);
	host_execute(host, &request);
}

/* ---- The program ---- */

static pid_t start(int socket, int other, const char *preload, char **program)
{
	char number[16];
	pid_t pid = fork();

	if (pid)
		return pid;
	close(other);
	snprintf(number, sizeof(number), "%d", socket);
	setenv(SG_TARGET_SOCKET, number, 1);
	setenv("LD_PRELOAD", preload, 1);
	execvp(program[0], program);
	_exit(127);
}

int main(int argc, char **argv)
{
	static const struct scsi_target_callbacks callbacks = { host_changed, host_ejected };
	static const struct scsi_identity identity = { .serial = "CONFORMANCE" };
	static struct host host;
	int sockets[2], status;
	pid_t pid;

	if (argc < 5)
		die("usage: sg_target SECTOR-SIZE FILE|- PRELOAD PROGRAM [ARGUMENT...]");
	if (loop_new(256, &host.loop) || scsi_target_new(&callbacks, &host, &host.target) ||
	    scsi_target_attach(host.target, 0, SCSI_DEVICE_DISK, &identity,
			       open_disk(host.loop, argv[2], (uint32_t)atoi(argv[1]))))
		die("the target cannot be made");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		die("no sockets");
	pid = start(sockets[1], sockets[0], argv[3], argv + 4);
	close(sockets[1]);
	host.socket = sockets[0];
	host.readable.complete = host_serve;
	loop_poll(host.loop, &host.readable, host.socket, POLLIN);
	if (loop_run(host.loop) < 0)
		die("the loop has failed");
	waitpid(pid, &status, 0);
	(void)!scsi_target_detach(host.target, 0, NULL, NULL);
	scsi_target_free(host.target);
	loop_free(host.loop);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
