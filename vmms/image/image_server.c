/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server of one disk image: its connection, its command line, its last words, its end. */
#include "vmms/image/image_server.h"

#include "common/base/error.h"
#include "common/base/json.h"
#include "common/base/socket.h"
#include "common/base/text.h"
#include "vmms/base/spawn.h"
#include "vmms/image/guard/image_guard.h"

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
#define TIMEOUT 10

struct image_server {
	struct image_server_config config;
	struct process process;
	sd_event *loop;
	int pidfd, output;
	sd_event_source *pidfd_source;
	struct file_delivery delivery;
};

/* ---- Its end ---- */

/* The last line of what it has said, if anything is there. */
static void server_take_last_line(struct image_server *server, char words[IMAGE_SERVER_WORDS_MAX])
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

static int server_process_ended(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct image_server *server = data;
	char words[IMAGE_SERVER_WORDS_MAX];
	siginfo_t info = { 0 };
	bool good;

	server_take_last_line(server, words);
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
static int server_connect_pair(const char *path, int *ret_listener, int *ret_fd)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_CLOSE int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mode_t mask;
	int r;

	if (listener < 0 || fd < 0)
		return error_origin(-errno);
	socket_refuse_files(listener);
	socket_refuse_files(fd);
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
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		r = -errno;
	(void)unlink(path);
	if (r < 0)
		return r;
	*ret_listener = TAKE_FD(listener);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* ---- Its command line ---- */

/*
 * A node of QEMU's for each file, "file-0", …, and one that knows its format for each image,
 * "disk-0", …: each is told which others it stands upon, so that no name in a head counts.
 */
#define NODE_NAME_MAX 32
#define WORDS_MAX     (2 * 2 * IMAGE_CHAIN_MAX + 8)

struct command {
	struct json_object *trees[2 * IMAGE_CHAIN_MAX + 1];
	const char *words[WORDS_MAX]; /* closed by NULL */
	size_t tree_count, word_count;
};

static void server_command_deinit(struct command *command)
{
	for (size_t i = 0; i < command->tree_count; i++)
		json_object_put(command->trees[i]);
}

static void server_add_word(struct command *command, const char *word)
{
	command->words[command->word_count++] = word;
}

/* tree: becomes the command's. Return: 0; -ENOMEM. */
static int server_add_option(struct command *command, const char *option, struct json_object *tree)
{
	const char *text = tree ? json_object_to_json_string(tree) : NULL;

	command->trees[command->tree_count++] = tree;
	server_add_word(command, option);
	server_add_word(command, text);
	return text ? 0 : -ENOMEM;
}

static struct json_object *server_make_name(const char *kind, size_t number)
{
	char name[NODE_NAME_MAX];

	snprintf(name, sizeof(name), "%s-%zu", kind, number);
	return json_object_new_string(name);
}

static struct json_object *server_make_cache(const struct image_server_config *config, size_t i)
{
	return json_make(
		"direct", json_object_new_boolean(config->files[i].held->direct), "no-flush",
		json_object_new_boolean(config->disk->cache == DEFINITION_CACHE_UNSAFE), NULL);
}

/* What is written: the image, or its data. */
static bool server_is_read_only(const struct image_server_config *config, size_t i)
{
	return config->disk->read_only || !(i == 0 || (i == 1 && config->files[i].data));
}

static struct json_object *server_make_node(const struct image_server_config *config,
					    const char *driver, const char *kind, size_t i)
{
	return json_make(
		"driver", json_object_new_string(driver), "node-name", server_make_name(kind, i),
		"read-only", json_object_new_boolean(server_is_read_only(config, i)), "discard",
		json_object_new_string("unmap"), "cache", server_make_cache(config, i), NULL);
}

static struct json_object *server_make_file(const struct image_server_config *config, size_t i)
{
	char path[sizeof(IMAGE_GUARD_PATH) + NODE_NAME_MAX];
	bool device = config->files[i].held->device;
	struct json_object *node;

	/* It is locked already, through the same open file. */
	node = server_make_node(config, device ? "host_device" : "file", "file", i);
	snprintf(path, sizeof(path), "%s%zu", IMAGE_GUARD_PATH, i);
	json_add(&node, "filename", json_object_new_string(path));
	json_add(&node, "locking", json_object_new_string("off"));
	return node;
}

static struct json_object *server_make_disk(const struct image_server_config *config, size_t i)
{
	enum image_format format = config->files[i].format;
	struct json_object *node =
		server_make_node(config, image_format_drivers[format], "disk", i);
	bool data = i + 1 < config->file_count && config->files[i + 1].data;
	size_t backing = data ? i + 2 : i + 1;

	json_add(&node, "file", server_make_name("file", i));
	if (data)
		json_add(&node, "data-file", server_make_name("file", i + 1));
	if (backing < config->file_count)
		json_add(&node, "backing", server_make_name("disk", backing));
	/* Whatever it names, it gets nothing but itself. */
	else if (node && (format == IMAGE_QCOW2 || format == IMAGE_VMDK))
		json_object_object_add(node, "backing", NULL);
	return node;
}

static struct json_object *server_make_export(const struct image_server_config *config)
{
	return json_make("type", json_object_new_string("nbd"), "id",
			 json_object_new_string("disk"), "node-name", server_make_name("disk", 0),
			 "name", json_object_new_string(""), "writable",
			 json_object_new_boolean(!config->disk->read_only), NULL);
}

/* The last of a chain first: others stand upon it. */
static int server_make_command(const struct image_server_config *config, const char *address,
			       struct command *command)
{
	int r = 0;

	server_add_word(command, config->program);
	for (size_t i = config->file_count; r == 0 && i-- > 0;) {
		r = server_add_option(command, "--blockdev", server_make_file(config, i));
		if (r == 0 && !config->files[i].data)
			r = server_add_option(command, "--blockdev", server_make_disk(config, i));
	}
	server_add_word(command, "--nbd-server");
	server_add_word(command, address);
	return r == 0 ? server_add_option(command, "--export", server_make_export(config)) : r;
}

static void server_files_sent(struct file_delivery *delivery, int r)
{
	/* Without them the process ends, and says why. */
}

static int server_send_files(struct image_server *server, int socket)
{
	const struct image_server_config *config = &server->config;
	struct held_file held[IMAGE_CHAIN_MAX];

	_Static_assert(IMAGE_CHAIN_MAX <= FILE_HOLDER_SEND_MAX, "all come with one message");
	for (size_t i = 0; i < config->file_count; i++)
		held[i] = *config->files[i].held;
	server->delivery.sent = server_files_sent;
	return file_holder_send(config->holder, socket, "", 1, held, config->file_count,
				&server->delivery);
}

static int server_spawn_command(struct image_server *server, const struct command *command,
				int listener, int output)
{
	const struct image_server_config *config = &server->config;
	AUTO_CLOSE int guard = open(config->guard, O_RDONLY | O_CLOEXEC);
	char preload[] = "LD_PRELOAD=" IMAGE_GUARD_LIBRARY_PATH;
	char *environment[] = { preload, NULL };
	int pair[2];

	/* Without its guard it would be let loose: ld.so(8) goes on without a library. */
	if (guard < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_origin(-errno);
	AUTO_CLOSE int near = pair[0];
	int far = pair[1];
	const struct spawn spawn = { .arguments = command->words,
				     .environment = environment,
				     .directory = "/",
				     .output = output,
				     .error = output,
				     .passed = listener,
				     .more = &guard,
				     .more_count = 1,
				     .sender = far,
				     .sent_count = config->file_count,
				     .user = config->user,
				     .profile = config->profile,
				     .needed = IMAGE_GUARD_LIBRARY_PATH,
				     .outlives = true };
	pid_t pid;
	int r;

	r = spawn_program(&spawn, &pid, &server->pidfd);
	/* Before anything is sent, so that nothing can be left in it for us to close. */
	close(far);
	if (r < 0)
		return r;
	server->process.pid = pid;
	r = server_send_files(server, near);
	if (r < 0)
		return r;
	r = process_identify(pid, &server->process);
	return r == -ESRCH ? 0 : r; /* dead already: the pidfd will tell */
}

static int spawn(struct image_server *server, int listener, int output)
{
	struct command command = { .tree_count = 0 };
	char address[32];
	int r;

	_Static_assert(1 + IMAGE_CHAIN_MAX <= SPAWN_MORE_MAX, "all can be passed");
	_Static_assert(IMAGE_GUARD_FILES + IMAGE_GUARD_FILES_MAX <= 4 + SPAWN_MORE_MAX,
		       "of these numbers");
	_Static_assert(IMAGE_CHAIN_MAX <= IMAGE_GUARD_FILES_MAX, "all can be opened");
	snprintf(address, sizeof(address), "addr.type=fd,addr.str=%d", IMAGE_GUARD_LISTENER);
	r = server_make_command(&server->config, address, &command);
	if (r == 0)
		r = server_spawn_command(server, &command, listener, output);
	server_command_deinit(&command);
	return r;
}

/* ---- Life ---- */

static int server_watch_process(struct image_server *server)
{
	return sd_event_add_io(server->loop, &server->pidfd_source, server->pidfd, EPOLLIN,
			       server_process_ended, server);
}

static struct image_server *image_server_make(sd_event *loop,
					      const struct image_server_config *config)
{
	struct image_server *server = calloc(1, sizeof(*server));

	if (!server)
		return NULL;
	*server = (struct image_server){
		.config = *config, .loop = sd_event_ref(loop), .pidfd = -1, .output = -1
	};
	list_init(&server->delivery.link);
	return server;
}

static int server_start(struct image_server *server, int *ret_fd)
{
	AUTO_CLOSE int listener = -1, fd = -1, far_output = -1;
	int pipes[2], r;

	if (access(server->config.program, X_OK) < 0)
		return error_origin(-errno);
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_origin(-errno);
	server->output = pipes[0];
	far_output = pipes[1];
	r = server_connect_pair(server->config.socket, &listener, &fd);
	if (r == 0)
		r = spawn(server, listener, far_output);
	if (r == 0)
		r = server_watch_process(server);
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

int image_server_start(sd_event *loop, const struct image_server_config *config,
		       struct image_server **ret_server, int *ret_fd)
{
	CLEANUP(image_server_freep) struct image_server *server = image_server_make(loop, config);
	int r;

	r = server ? server_start(server, ret_fd) : -ENOMEM;
	if (r < 0)
		return r;
	server->config.disk = NULL;
	server->config.files = NULL;
	server->config.socket = NULL;
	server->config.profile = NULL;
	server->config.holder = NULL;
	*ret_server = TAKE_PTR(server);
	return 0;
}

int image_server_adopt(sd_event *loop, const struct image_server_config *config,
		       const struct process *process, struct image_server **ret_server)
{
	CLEANUP(image_server_freep) struct image_server *server = image_server_make(loop, config);
	int r;

	r = server ? process_open(process, &server->pidfd) : -ENOMEM;
	if (r == 0)
		r = server_watch_process(server);
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
	list_unlink(&server->delivery.link);
	sd_event_source_disable_unref(server->pidfd_source);
	if (server->process.pid > 0) {
		image_server_signal(server, SIGKILL);
		/* It may wait for the file system of its image, and not die before that answers. */
		process_reap(server->loop, TAKE_FD(server->pidfd));
	}
	sd_event_unref(server->loop);
	close_fdp(&server->pidfd);
	close_fdp(&server->output);
	free(server);
}
