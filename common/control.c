/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket between the daemon and a worker.
 *
 * A datagram's size is asked for first (MSG_PEEK), so that memory is taken for what is there and
 * not for the largest message. The descriptors that came along belong to the message before
 * anything is parsed, so the one exit path closes them.
 */
#include "common/control.h"

#include "common/base/error.h"
#include "common/base/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- Decoding ---- */

void control_message_deinit(struct control_message *message)
{
	for (size_t i = 0; i < message->fd_count; i++)
		close_fdp(&message->fds[i]);
	json_object_put(message->tree);
	*message = (struct control_message){ 0 };
}

static const char *member_string(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

/* A member that is an object; a missing one is added, empty. NULL if it is something else. */
static struct json_object *member_object(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value)) {
		value = json_object_new_object();
		if (!value || json_object_object_add(object, key, value) != 0)
			return NULL;
	}
	return json_object_is_type(value, json_type_object) ? value : NULL;
}

static bool member_id(struct json_object *object, uint32_t *ret_id)
{
	struct json_object *value;
	int64_t id;

	if (!json_object_object_get_ex(object, "id", &value) ||
	    !json_object_is_type(value, json_type_int))
		return false;
	id = json_object_get_int64(value);
	if (id < 0 || id > UINT32_MAX)
		return false;
	*ret_id = (uint32_t)id;
	return true;
}

/* How each kind is told by its key, and where the rest of it is. */
static const struct {
	const char *key; /* its value is the name, unless `nested` */
	const char *body;
	bool nested; /* name and text are members of the key's value */
} kinds[] = {
	[CONTROL_REQUEST] = { "method", "arguments", false },
	[CONTROL_REPLY] = { NULL, "result", false },
	[CONTROL_ERROR] = { "error", "result", true },
	[CONTROL_EVENT] = { "event", "data", false },
};

static enum control_kind message_kind(struct json_object *tree)
{
	static const enum control_kind order[] = { CONTROL_EVENT, CONTROL_REQUEST, CONTROL_ERROR };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (json_object_object_get_ex(tree, kinds[order[i]].key, NULL))
			return order[i];
	}
	return CONTROL_REPLY;
}

static bool message_fill(struct control_message *message)
{
	struct json_object *tree = message->tree, *error;

	message->kind = message_kind(tree);
	message->name = "";
	message->text = "";
	if (message->kind != CONTROL_EVENT && !member_id(tree, &message->id))
		return false;
	if (kinds[message->kind].nested) {
		error = member_object(tree, kinds[message->kind].key);
		if (!error)
			return false;
		message->name = member_string(error, "code");
		message->text = member_string(error, "message");
	} else if (kinds[message->kind].key) {
		message->name = member_string(tree, kinds[message->kind].key);
	}
	message->body = member_object(tree, kinds[message->kind].body);
	return message->name && message->text && message->body;
}

static int decode(const char *text, size_t size, struct control_message *message)
{
	struct json_error error;
	int r;

	r = json_parse(text, size, &message->tree, &error);
	if (r == -EINVAL)
		return CONTROL_E_MALFORMED;
	if (r < 0)
		return r;
	message->size = size;
	return message_fill(message) ? 0 : CONTROL_E_MALFORMED;
}

int control_decode(const char *text, size_t size, struct control_message *ret_message)
{
	struct control_message message = { 0 };
	int r;

	r = decode(text, size, &message);
	if (r != 0) {
		control_message_deinit(&message);
		return r;
	}
	*ret_message = message;
	return 0;
}

/* ---- Receiving ---- */

union descriptors {
	struct cmsghdr header; /* for its alignment */
	char space[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
};

static void take_descriptors(struct msghdr *header, struct control_message *message)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control;
	     control = CMSG_NXTHDR(header, control)) {
		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		message->fd_count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(message->fds, CMSG_DATA(control), message->fd_count * sizeof(int));
	}
}

static int receive_errno(void)
{
	if (errno == EAGAIN)
		return CONTROL_E_EMPTY;
	if (errno == ECONNRESET)
		return CONTROL_E_CLOSED;
	return error_origin(-errno);
}

int control_receive(int socket, struct control_message *ret_message)
{
	return control_receive_bounded(socket, CONTROL_MESSAGE_MAX, ret_message);
}

int control_receive_bounded(int socket, size_t most, struct control_message *ret_message)
{
	struct control_message message = { 0 };
	union descriptors descriptors;
	AUTO_FREE char *text = NULL;
	struct iovec iov;
	struct msghdr header = { .msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &descriptors,
				 .msg_controllen = sizeof(descriptors) };
	ssize_t size;
	int r;

	size = recv(socket, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
	if (size < 0)
		return receive_errno();
	iov.iov_len = MIN((size_t)size, most);
	iov.iov_base = text = malloc(iov.iov_len + 1);
	if (!text)
		return -ENOMEM;
	size = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (size < 0)
		return receive_errno();
	/* An empty datagram is what the end of the connection looks like; nobody sends one. */
	if (size == 0 && header.msg_controllen == 0)
		return CONTROL_E_CLOSED;
	take_descriptors(&header, &message);
	if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		r = CONTROL_E_MALFORMED;
	else
		r = decode(text, (size_t)size, &message);
	if (r != 0) {
		control_message_deinit(&message);
		return r;
	}
	*ret_message = message;
	return 0;
}

/* ---- Sending ---- */

#define SOCKET_TYPE (SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK)

void control_make_room(int socket)
{
	int size = CONTROL_MESSAGE_MAX; /* doubled by the kernel, for its own overhead */

	/* The limit of the host may be lower: then large messages fail with -EMSGSIZE. */
	(void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int address_make(const char *path, struct sockaddr_un *ret_address)
{
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	strcpy(ret_address->sun_path, path);
	return 0;
}

int control_listen(const char *path, int *ret_socket)
{
	struct sockaddr_un address;
	int r;

	r = address_make(path, &address);
	if (r < 0)
		return r;
	AUTO_CLOSE int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (listener < 0)
		return error_origin(-errno);
	if ((unlink(path) < 0 && errno != ENOENT) || fchmod(listener, 0600) < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1) < 0)
		return error_origin(-errno);
	*ret_socket = TAKE_FD(listener);
	return 0;
}

int control_connect(const char *path, int *ret_socket)
{
	struct sockaddr_un address;
	int r;

	r = address_make(path, &address);
	if (r < 0)
		return r;
	AUTO_CLOSE int connection = socket(AF_UNIX, SOCKET_TYPE, 0);
	if (connection < 0)
		return error_origin(-errno);
	socket_refuse_files(connection);
	if (connect(connection, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	control_make_room(connection);
	*ret_socket = TAKE_FD(connection);
	return 0;
}

static int send_text(int socket, const char *text, size_t size, const int *fds, size_t fd_count)
{
	union descriptors descriptors = { 0 };
	struct iovec iov = { .iov_base = (char *)text, .iov_len = size };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (size > CONTROL_MESSAGE_MAX || fd_count > CONTROL_FDS_MAX)
		return -EMSGSIZE;
	if (fd_count > 0) {
		descriptors.header.cmsg_level = SOL_SOCKET;
		descriptors.header.cmsg_type = SCM_RIGHTS;
		descriptors.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&descriptors.header), fds, fd_count * sizeof(int));
		header.msg_control = &descriptors;
		header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	if (sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	return 0;
}

const char *control_text(struct json_object *message, size_t *ret_size)
{
	return json_object_to_json_string_length(
		message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_size);
}

static int send_tree(int socket, struct json_object *tree, const int *fds, size_t fd_count)
{
	const char *text;
	size_t size;

	text = control_text(tree, &size);
	if (!text)
		return -ENOMEM;
	return send_text(socket, text, size, fds, fd_count);
}

static struct json_object *body(struct json_object *tree)
{
	return tree ? json_object_get(tree) : json_object_new_object();
}

struct json_object *control_reply(uint32_t id, struct json_object *result)
{
	return json_make("id", json_object_new_int64(id), "result", body(result), NULL);
}

struct json_object *control_error(uint32_t id, const char *code, const char *text)
{
	return json_make("id", json_object_new_int64(id), "error",
			 json_make("code", json_object_new_string(code), "message",
				   json_object_new_string(text), NULL),
			 NULL);
}

struct json_object *control_event(const char *event, struct json_object *data)
{
	return json_make("event", json_object_new_string(event), "data", body(data), NULL);
}

int control_send(int socket, struct json_object *message)
{
	return send_tree(socket, message, NULL, 0);
}

struct json_object *control_request(uint32_t id, const char *method, struct json_object *arguments)
{
	return json_make("id", json_object_new_int64(id), "method", json_object_new_string(method),
			 "arguments", body(arguments), NULL);
}

int control_send_request(int socket, uint32_t id, const char *method, struct json_object *arguments,
			 const int *fds, size_t fd_count)
{
	AUTO_JSON struct json_object *tree = control_request(id, method, arguments);

	return tree ? send_tree(socket, tree, fds, fd_count) : -ENOMEM;
}
