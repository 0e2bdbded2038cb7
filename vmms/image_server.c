/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server of one disk image: its connection, its command line, its last words, its end. */
#include "vmms/image_server.h"

#include "common/base/json.h"
#include "common/base/text.h"
#include "common/image_format.h"
#include "vmms/image_guard.h"
#include "vmms/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds that the worker waits for a word of it, or for room: in the handshake alone. */
#define PATIENCE 10

struct image_server {
	struct image_server_config config;
	struct process process;
	int pidfd, output;
	sd_event_source *pidfd_source;
};

/* ---- Its end ---- */

/* The last line of what it has said, if anything is there. */
static void take_last_line(struct image_server *server, char words[IMAGE_SERVER_WORDS_MAX])
{
	char buffer[4096], *line;
	ssize_t size = server->output >= 0 ? read(server->output, buffer, sizeof(buffer) - 1) : 0;

	words[0] = '\0';
	if (size <= 0)
		return;
	while (size > 0 && buffer[size - 1] == '\n')
		size--;
	buffer[size] = '\0';
	line = memrchr(buffer, '\n', (size_t)size);
	line = line ? line + 1 : buffer;
	text_repair(words, IMAGE_SERVER_WORDS_MAX, line, strlen(line));
}

static int process_ended(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct image_server *server = data;
	char words[IMAGE_SERVER_WORDS_MAX];
	siginfo_t info = { 0 };
	bool good;

	take_last_line(server, words);
	/* Only a child's end can be asked for. */
	good = waitid(P_PIDFD, (id_t)server->pidfd, &info, WEXITED | WNOHANG) < 0 ||
	       (info.si_code == CLD_EXITED && info.si_status == 0);
	server->process.pid = 0;
	if (words[0] == '\0' && info.si_code == CLD_EXITED)
		snprintf(words, sizeof(words), "exit status %d", info.si_status);
	else if (words[0] == '\0')
		snprintf(words, sizeof(words), "killed by signal %d", info.si_status);
	sd_event_source_set_enabled(server->pidfd_source, SD_EVENT_OFF);
	server->config.ended(server->config.owner, good ? NULL : words);
	return 0;
}

/* ---- Its connection ---- */

/* Nobody else may connect: the socket is its owner's alone, and gone before this returns. */
static int connect_pair(const char *path, int *ret_listener, int *ret_fd)
{
	const struct timeval patience = { .tv_sec = PATIENCE };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mode_t mask;
	int r;

	if (listener < 0 || fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	(void)unlink(path);
	mask = umask(0177);
	r = bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return r;
	if (listen(listener, 1) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		r = -errno;
	(void)unlink(path);
	if (r < 0)
		return r;
	*ret_listener = TAKE_FD(listener);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* ---- Its command line ---- */

static struct json_object *make_cache(const struct image_server_config *config)
{
	int flags = fcntl(config->image, F_GETFL);

	return json_make(
		"direct", json_object_new_boolean(flags >= 0 && (flags & O_DIRECT)), "no-flush",
		json_object_new_boolean(config->disk->cache == DEFINITION_CACHE_UNSAFE), NULL);
}

static struct json_object *make_node(const struct image_server_config *config, const char *driver,
				     const char *name)
{
	return json_make("driver", json_object_new_string(driver), "node-name",
			 json_object_new_string(name), "read-only",
			 json_object_new_boolean(config->disk->read_only), "discard",
			 json_object_new_string("unmap"), "cache", make_cache(config), NULL);
}

static struct json_object *make_file(const struct image_server_config *config)
{
	struct json_object *node;
	struct stat status;
	bool device = fstat(config->image, &status) == 0 && S_ISBLK(status.st_mode);

	/* It is locked already, through the same open file. */
	node = make_node(config, device ? "host_device" : "file", "file");
	json_add(&node, "filename", json_object_new_string(IMAGE_GUARD_PATH));
	json_add(&node, "locking", json_object_new_string("off"));
	return node;
}

static struct json_object *make_disk(const struct image_server_config *config)
{
	static const char *const drivers[] = {
		[IMAGE_RAW] = "raw",   [IMAGE_QCOW2] = "qcow2", [IMAGE_VHD] = "vpc",
		[IMAGE_VHDX] = "vhdx", [IMAGE_VMDK] = "vmdk",
	};
	int format = image_format_find(config->disk->format);
	struct json_object *node = make_node(config, drivers[MAX(format, 0)], "disk");

	json_add(&node, "file", json_object_new_string("file"));
	/* Whatever it names, it gets nothing but itself. */
	if (node && (format == IMAGE_QCOW2 || format == IMAGE_VMDK))
		json_object_object_add(node, "backing", NULL);
	return node;
}

static struct json_object *make_export(const struct image_server_config *config)
{
	return json_make("type", json_object_new_string("nbd"), "id",
			 json_object_new_string("disk"), "node-name",
			 json_object_new_string("disk"), "name", json_object_new_string(""),
			 "writable", json_object_new_boolean(!config->disk->read_only), NULL);
}

static int spawn(struct image_server *server, int listener, int output)
{
	const struct image_server_config *config = &server->config;
	AUTO_JSON struct json_object *file = make_file(config), *disk = make_disk(config);
	AUTO_JSON struct json_object *export = make_export(config);
	char preload[PATH_MAX + 16], user[sizeof(IMAGE_GUARD_USER) + 16], address[32];
	char *environment[] = { preload, config->user ? user : NULL, NULL };
	const char *arguments[] = { config->program,
				    "--blockdev",
				    file ? json_object_to_json_string(file) : "",
				    "--blockdev",
				    disk ? json_object_to_json_string(disk) : "",
				    "--nbd-server",
				    address,
				    "--export",
				    export ? json_object_to_json_string(export) : "",
				    NULL };
	const struct spawn spawn = { .arguments = arguments,
				     .environment = environment,
				     .directory = "/",
				     .output = output,
				     .error = output,
				     .passed = config->image,
				     .passed_too = listener,
				     .outlives = true };
	pid_t pid;
	int r;

	if (!file || !disk || !export)
		return -ENOMEM;
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", config->guard);
	snprintf(user, sizeof(user), "%s=%u", IMAGE_GUARD_USER, config->user);
	snprintf(address, sizeof(address), "addr.type=fd,addr.str=%d", IMAGE_GUARD_LISTENER);
	r = spawn_program(&spawn, &pid, &server->pidfd);
	if (r < 0)
		return r;
	server->process.pid = pid;
	r = process_identify(pid, &server->process);
	return r == -ESRCH ? 0 : r; /* dead already: the pidfd will tell */
}

/* ---- Life ---- */

static int watch_process(struct image_server *server, sd_event *loop)
{
	return sd_event_add_io(loop, &server->pidfd_source, server->pidfd, EPOLLIN, process_ended,
			       server);
}

static struct image_server *image_server_make(const struct image_server_config *config)
{
	struct image_server *server = calloc(1, sizeof(*server));

	if (server)
		*server = (struct image_server){ .config = *config, .pidfd = -1, .output = -1 };
	return server;
}

static int start(struct image_server *server, sd_event *loop, int *ret_fd)
{
	AUTO_CLOSE int listener = -1, fd = -1, far_output = -1;
	int pipes[2], r;

	/* Without its guard it would be let loose: ld.so(8) goes on without a library. */
	if (access(server->config.program, X_OK) < 0 || access(server->config.guard, R_OK) < 0)
		return -errno;
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	server->output = pipes[0];
	far_output = pipes[1];
	r = connect_pair(server->config.socket, &listener, &fd);
	if (r == 0)
		r = spawn(server, listener, far_output);
	if (r == 0)
		r = watch_process(server, loop);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

int image_server_start(sd_event *loop, const struct image_server_config *config,
		       struct image_server **ret_server, int *ret_fd)
{
	CLEANUP(image_server_freep) struct image_server *server = image_server_make(config);
	int r;

	r = server ? start(server, loop, ret_fd) : -ENOMEM;
	if (r < 0)
		return r;
	server->config.disk = NULL;
	server->config.socket = NULL;
	*ret_server = TAKE_PTR(server);
	return 0;
}

int image_server_adopt(sd_event *loop, const struct image_server_config *config,
		       const struct process *process, struct image_server **ret_server)
{
	CLEANUP(image_server_freep) struct image_server *server = image_server_make(config);
	int r;

	r = server ? process_open(process, &server->pidfd) : -ENOMEM;
	if (r == 0)
		r = watch_process(server, loop);
	if (r < 0)
		return r;
	server->process = *process;
	*ret_server = TAKE_PTR(server);
	return 0;
}

const struct process *image_server_process(const struct image_server *server)
{
	return &server->process;
}

void image_server_signal(struct image_server *server, int signal)
{
	if (server->process.pid > 0)
		(void)pidfd_send_signal(server->pidfd, signal, NULL, 0);
}

void image_server_free(struct image_server *server)
{
	if (!server)
		return;
	if (server->process.pid > 0) {
		image_server_signal(server, SIGKILL);
		/* It is dead in a moment, and nobody else will ask for it. */
		(void)waitid(P_PIDFD, (id_t)server->pidfd, NULL, WEXITED);
	}
	sd_event_source_disable_unref(server->pidfd_source);
	close_fdp(&server->pidfd);
	close_fdp(&server->output);
	free(server);
}
