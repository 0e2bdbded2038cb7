/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded into a program, makes SG_TARGET_DEVICE a SCSI device of it: SG_IO on it is a command to
 * the target at the other end of the socket (sg_target.c).
 *
 * What Linux refuses by itself is refused here, too: transfers that are larger than the device's
 * controller takes.
 */
#define _GNU_SOURCE
#include "tests/conformance/sg_target.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SG_VERSION          30536
#define SECTOR_SIZE         512
#define DRIVER_SENSE        0x08
#define CHECK_CONDITION     0x02
#define DIRECTION_NONE      0 /* enum scsi_direction */
#define DIRECTION_IN        1
#define DIRECTION_OUT       2
#define STATUS_TO_MASKED(x) ((x) >> 1 & 0x1f)
#define MIN(a, b)           ((a) < (b) ? (a) : (b))

static int target_socket(void)
{
	const char *number = getenv(SG_TARGET_SOCKET);

	return number ? atoi(number) : -1;
}

static int open_path(const char *path, int flags, mode_t mode)
{
	if (strcmp(path, SG_TARGET_DEVICE) == 0)
		return fcntl(target_socket(), F_DUPFD_CLOEXEC, 0);
	return openat(AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = va_arg(arguments, mode_t);
	va_end(arguments);
	return open_path(path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
	return open_path(path, flags, 0);
}

/* ---- Commands ---- */

static bool send_all(int fd, const void *data, size_t size)
{
	return size == 0 || send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool receive_all(int fd, void *data, size_t size)
{
	return size == 0 || recv(fd, data, size, MSG_WAITALL) == (ssize_t)size;
}

static void gather(const sg_io_hdr_t *header, uint8_t *data)
{
	const sg_iovec_t *iov = header->dxferp;
	size_t offset = 0;

	if (!header->iovec_count) {
		memcpy(data, header->dxferp, header->dxfer_len);
		return;
	}
	for (unsigned i = 0; i < header->iovec_count && offset < header->dxfer_len; i++) {
		size_t size = MIN(iov[i].iov_len, header->dxfer_len - offset);

		memcpy(data + offset, iov[i].iov_base, size);
		offset += size;
	}
}

static uint8_t direction_of(const sg_io_hdr_t *header)
{
	if (!header->dxfer_len)
		return DIRECTION_NONE;
	return header->dxfer_direction == SG_DXFER_TO_DEV     ? DIRECTION_OUT
	       : header->dxfer_direction == SG_DXFER_FROM_DEV ? DIRECTION_IN
							      : DIRECTION_NONE;
}

static int execute(int fd, sg_io_hdr_t *header)
{
	struct sg_target_request request = {
		.cdb_length = header->cmd_len,
		.direction = direction_of(header),
		.length = header->dxfer_len,
	};
	static uint8_t data[SG_TARGET_TRANSFER];
	struct sg_target_reply reply;

	if (header->dxfer_len > SG_TARGET_TRANSFER || header->cmd_len > sizeof(request.cdb)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(request.cdb, header->cmdp, header->cmd_len);
	if (request.direction == DIRECTION_OUT)
		gather(header, data);
	if (!send_all(fd, &request, sizeof(request)) ||
	    !send_all(fd, data, request.direction == DIRECTION_OUT ? request.length : 0) ||
	    !receive_all(fd, &reply, sizeof(reply)) ||
	    !receive_all(fd, header->dxferp,
			 request.direction == DIRECTION_IN ? reply.transferred : 0)) {
		errno = EIO;
		return -1;
	}
	header->status = reply.status;
	header->masked_status = STATUS_TO_MASKED(reply.status);
	header->host_status = 0;
	header->driver_status = reply.status == CHECK_CONDITION ? DRIVER_SENSE : 0;
	header->resid = (int)(header->dxfer_len - reply.transferred);
	header->sb_len_wr = 0;
	if (reply.status == CHECK_CONDITION) {
		header->sb_len_wr = (uint8_t)MIN(sizeof(reply.sense), header->mx_sb_len);
		memcpy(header->sbp, reply.sense, header->sb_len_wr);
	}
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*next)(int fd, unsigned long request, ...);
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	switch (request) {
	case SG_GET_VERSION_NUM:
		*(int *)argument = SG_VERSION;
		return 0;
	case BLKSECTGET:
		*(unsigned short *)argument = SG_TARGET_TRANSFER / SECTOR_SIZE;
		return 0;
	case SG_IO:
		return execute(fd, argument);
	}
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "ioctl");
	return next(fd, request, argument);
}
