/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qemu-img(1), for images of formats that are not our own. */
#include "vmms/disk/qemu_img.h"

#include "common/base/error.h"
#include "common/base/text.h"
#include "vmms/base/spawn.h"
#include "vmms/image/guard/image_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM       "/usr/bin/qemu-img"
#define OUTPUT_MAX    (64 * 1024) /* bytes; what comes after them is not read */
#define WORDS_MAX     400         /* bytes of an error that are shown */
#define OPTIONS_MAX   128
#define POLL_INTERVAL 100 /* milliseconds */

struct run {
	struct disk_work *work;
	int output, error, pidfd;
	char out[OUTPUT_MAX], err[OUTPUT_MAX];
	size_t out_size, err_size;
	uint64_t total; /* of the progress that it tells; 0: it tells none */
};

/* ---- Its files ---- */

static void img_describe(const struct qemu_img_file *file, unsigned number, char text[OPTIONS_MAX])
{
	struct stat status;
	bool device = fstat(file->fd, &status) == 0 && S_ISBLK(status.st_mode);

	snprintf(text, OPTIONS_MAX,
		 "driver=%s,read-only=%s,file.driver=%s,file.filename=%s%u,file.locking=off",
		 image_format_drivers[file->format], file->writable ? "off" : "on",
		 device ? "host_device" : "file", IMAGE_GUARD_PATH, number);
}

/* ---- Its process ---- */

static int img_spawn(struct run *run, const char *const *arguments,
		     const struct qemu_img_file *files, size_t count)
{
	char preload[] = "LD_PRELOAD=" IMAGE_GUARD_LIBRARY_PATH, language[] = "LC_ALL=C";
	char *environment[] = { preload, language, NULL };
	int more[1 + QEMU_IMG_FILES_MAX] = { run->work->guard }, outputs[2], errors[2], r;
	struct spawn spawn = { .arguments = arguments,
			       .environment = environment,
			       .directory = "/",
			       .more = more,
			       .more_count = 1 + count,
			       .user = geteuid() == 0 ? run->work->config->stranger : 0,
			       .needed = IMAGE_GUARD_LIBRARY_PATH };
	pid_t pid;

	if (run->work->guard < 0 || pipe2(outputs, O_CLOEXEC) < 0)
		return error_origin(-errno);
	run->output = outputs[0];
	AUTO_CLOSE int far_output = outputs[1];
	if (pipe2(errors, O_CLOEXEC) < 0)
		return error_origin(-errno);
	run->error = errors[0];
	AUTO_CLOSE int far_error = errors[1];
	AUTO_CLOSE int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (nothing < 0)
		return error_origin(-errno);
	spawn.output = far_output;
	spawn.error = far_error;
	spawn.passed = nothing;
	for (size_t i = 0; i < count; i++)
		more[1 + i] = files[i].fd;
	r = spawn_program(&spawn, &pid, &run->pidfd);
	return r;
}

/* Return: whether there may be more. */
static bool img_read(int fd, char *buffer, size_t *size)
{
	char rest[4096];
	bool full = *size >= OUTPUT_MAX - 1;
	ssize_t n = full ? read(fd, rest, sizeof(rest))
			 : read(fd, buffer + *size, OUTPUT_MAX - 1 - *size);

	if (n > 0 && !full)
		*size += (size_t)n;
	return n > 0 || (n < 0 && errno == EINTR);
}

/* The last "(12.34/100%)". */
static uint64_t img_find_progress(struct run *run)
{
	char *last;
	double percent = 0;

	run->out[run->out_size] = '\0';
	last = strrchr(run->out, '(');
	/* Nothing but progress is told here, which would fill the buffer. */
	if (!last || sscanf(last, "(%lf/100%%)", &percent) != 1 ||
	    !(percent >= 0 && percent <= 100))
		percent = 0;
	if (run->out_size > OUTPUT_MAX / 2)
		run->out_size = 0;
	return (uint64_t)((double)run->total / 100 * percent);
}

static void img_follow(struct run *run)
{
	struct pollfd fds[] = { { .fd = run->output, .events = POLLIN },
				{ .fd = run->error, .events = POLLIN } };
	uint64_t done = 0;

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, ARRAY_SIZE(fds), POLL_INTERVAL) < 0 && errno != EINTR)
			break;
		if (fds[0].revents && !img_read(fds[0].fd, run->out, &run->out_size))
			fds[0].fd = -1;
		if (fds[1].revents && !img_read(fds[1].fd, run->err, &run->err_size))
			fds[1].fd = -1;
		if (run->total)
			done = MAX(done, img_find_progress(run));
		if (!disk_work_goes_on(run->work, done, run->total))
			break;
	}
	run->out[run->out_size] = '\0';
	run->err[run->err_size] = '\0';
}

/* Return: its exit status; -1: it was killed. */
static int img_await(struct run *run)
{
	siginfo_t info = { 0 };

	if (run->work->stopped)
		(void)pidfd_send_signal(run->pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)run->pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	return info.si_code == CLD_EXITED ? info.si_status : -1;
}

/* What it said last, in one line. */
static int img_refuse(struct run *run, int status)
{
	char words[WORDS_MAX], *end = run->err + run->err_size, *line;

	while (end > run->err && end[-1] == '\n')
		*--end = '\0';
	line = strrchr(run->err, '\n');
	line = line ? line + 1 : run->err;
	if (strncmp(line, "qemu-img: ", 10) == 0)
		line += 10;
	text_repair(words, sizeof(words), line, strlen(line));
	if (status == 127 || (words[0] == '\0' && access(PROGRAM, X_OK) < 0))
		return failure_set(run->work->failure, DBUS_ERROR_HOST_NOT_CAPABLE,
				   "images of this format need %s, which cannot be run (%s); "
				   "install the package qemu-utils",
				   PROGRAM, words[0] ? words : "it is not there");
	return failure_set(run->work->failure, DBUS_ERROR_RESOURCE,
			   "'%s' cannot be worked on: qemu-img says: %s", run->work->request->path,
			   words[0] ? words : "nothing");
}

static void img_run_free(struct run *run)
{
	if (!run)
		return;
	close_fdp(&run->output);
	close_fdp(&run->error);
	close_fdp(&run->pidfd);
	free(run);
}
DEFINE_CLEANUP(struct run *, img_run_free)

/* accepted: bits of exit statuses, beside 0, that are no failure. *ret_run: freed by the caller. */
static int img_run(struct disk_work *work, const char *const *arguments,
		   const struct qemu_img_file *files, size_t count, uint64_t total,
		   unsigned accepted, struct run **ret_run)
{
	CLEANUP(img_run_freep) struct run *run = calloc(1, sizeof(*run));
	int r, status;

	if (!run)
		return failure_no_memory(work->failure);
	*run = (struct run){ .work = work, .output = -1, .error = -1, .pidfd = -1, .total = total };
	r = img_spawn(run, arguments, files, count);
	if (r < 0)
		return failure_set(work->failure, DBUS_ERROR_INTERNAL, "cannot run %s: %s", PROGRAM,
				   strerror(-r));
	img_follow(run);
	status = img_await(run);
	if (work->stopped)
		return disk_work_stop(work);
	if (status != 0 && (status < 0 || status > 31 || !(accepted & (1u << status))))
		return img_refuse(run, status);
	*ret_run = TAKE_PTR(run);
	return 0;
}

/* ---- What it does ---- */

static int img_read_json(struct run *run, struct json_object **ret_tree)
{
	struct json_error error;

	if (json_parse(run->out, run->out_size, ret_tree, &error) < 0)
		return failure_set(run->work->failure, DBUS_ERROR_INTERNAL,
				   "what qemu-img says is not understood: %s", error.message);
	return 0;
}

int qemu_img_measure(struct disk_work *work, const struct qemu_img_file *file, uint64_t *ret_size)
{
	CLEANUP(img_run_freep) struct run *run = NULL;
	AUTO_JSON struct json_object *tree = NULL;
	char options[OPTIONS_MAX];
	const char *arguments[] = {
		PROGRAM, "info", "--output=json", "--image-opts", options, NULL
	};
	struct json_object *size;
	int r;

	img_describe(file, 0, options);
	r = img_run(work, arguments, file, 1, 0, 0, &run);
	if (r == 0)
		r = img_read_json(run, &tree);
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(tree, "virtual-size", &size) ||
	    json_object_get_int64(size) <= 0)
		return failure_set(work->failure, DBUS_ERROR_INTERNAL,
				   "qemu-img does not tell the size of the disk");
	*ret_size = (uint64_t)json_object_get_int64(size);
	return 0;
}

int qemu_img_convert(struct disk_work *work, const struct qemu_img_file *source,
		     const struct qemu_img_file *target)
{
	CLEANUP(img_run_freep) struct run *run = NULL;
	const struct qemu_img_file files[] = { *source, *target };
	char from[OPTIONS_MAX], to[OPTIONS_MAX];
	const char *arguments[] = { PROGRAM,
				    "convert",
				    "-p",
				    "-n",
				    "--target-is-zero",
				    "--image-opts",
				    "--target-image-opts",
				    from,
				    to,
				    NULL };
	uint64_t size;
	int r = qemu_img_measure(work, source, &size);

	if (r < 0)
		return r;
	img_describe(source, 0, from);
	img_describe(target, 1, to);
	return img_run(work, arguments, files, ARRAY_SIZE(files), size, 0, &run);
}

#define CHECK_CORRUPT 2
#define CHECK_LEAKS   3

int qemu_img_check(struct disk_work *work, const struct qemu_img_file *file, bool repair,
		   struct json_object **ret_report)
{
	CLEANUP(img_run_freep) struct run *run = NULL;
	char options[OPTIONS_MAX];
	const char *arguments[] = { PROGRAM,        "check", "--output=json",
				    "--image-opts", options, repair ? "-r" : NULL,
				    "all",          NULL };
	int r;

	img_describe(file, 0, options);
	r = img_run(work, arguments, file, 1, 0, 1u << CHECK_CORRUPT | 1u << CHECK_LEAKS, &run);
	return r < 0 ? r : img_read_json(run, ret_report);
}

int qemu_img_grow(struct disk_work *work, const struct qemu_img_file *file, uint64_t size)
{
	CLEANUP(img_run_freep) struct run *run = NULL;
	char options[OPTIONS_MAX], text[24];
	const char *arguments[] = { PROGRAM, "resize", "--image-opts", options, text, NULL };

	img_describe(file, 0, options);
	snprintf(text, sizeof(text), "%" PRIu64, size);
	return img_run(work, arguments, file, 1, 0, 0, &run);
}
