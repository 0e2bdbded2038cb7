/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: viewers of its guest's screen. */
#include "vmms/vm/vm_viewers.h"

#include "common/base/error.h"
#include "common/base/socket.h"
#include "common/base/text.h"
#include "common/screen_link.h"
#include "vmms/base/plain_socket.h"
#include "vmms/base/process.h"
#include "vmms/base/spawn.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_guest.h"
#include "vmms/vm/vm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW_TIMEOUT 60 /* seconds; for a worker that hangs */
#define WORDS_MAX    256

/* ---- Its end ---- */

void vm_viewers_forget(struct vm *vm)
{
	struct vm_viewers *viewers = &vm->viewers;

	if (viewers->pid == 0)
		return;
	sd_event_source_disable_unref(viewers->source);
	(void)pidfd_send_signal(viewers->pidfd, SIGKILL, NULL, 0);
	process_reap(vm->manager->loop, viewers->pidfd);
	close(viewers->control);
	close(viewers->output);
	*viewers = (struct vm_viewers){ 0 };
}

/* What it said last, if it said anything. */
static void viewers_read_words(int output, char words[WORDS_MAX])
{
	char buffer[WORDS_MAX];
	ssize_t size = read(output, buffer, sizeof(buffer));

	text_repair(words, WORDS_MAX, buffer, size > 0 ? strcspn(buffer, "\n") : 0);
}

static int viewers_process_ended(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct vm *vm = data;
	char words[WORDS_MAX] = "";
	siginfo_t info = { 0 };

	viewers_read_words(vm->viewers.output, words);
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_code != CLD_EXITED)
		snprintf(words, sizeof(words), "killed by signal %d", info.si_status);
	if (words[0] != '\0')
		vm_log(vm, VM_EVENT_SCREEN, LOG_LEVEL_WARNING,
		       "the process that shows the screen has ended: %s", words);
	vm_viewers_forget(vm);
	return 0;
}

/* ---- Its beginning ---- */

/* far: of the control socket, the link to the worker, and what it says. */
static int viewers_spawn(struct vm *vm, int control, int link, int output)
{
	struct vm_viewers *viewers = &vm->viewers;
	char user[16], profile[APPARMOR_NAME_SIZE];
	const char *const arguments[] = { vm->manager->settings.screen, user, vm->definition->name,
					  NULL };
	char *environment[] = { NULL };
	const struct spawn spawn = {
		.arguments = arguments,
		.environment = environment,
		.directory = "/",
		.output = output,
		.error = output,
		.passed = control,
		.more = &link,
		.more_count = 1,
		.profile = vm_confinement_profile(vm, APPARMOR_SCREEN, profile),
	};
	int r;

	snprintf(user, sizeof(user), "%u", vm->run.user);
	if (access(arguments[0], X_OK) < 0)
		return error_origin(-errno);
	r = spawn_program(&spawn, &viewers->pid, &viewers->pidfd);
	if (r < 0)
		return r;
	r = sd_event_add_io(vm->manager->loop, &viewers->source, viewers->pidfd, EPOLLIN,
			    viewers_process_ended, vm);
	return r;
}

static void viewers_worker_answered(void *data, struct json_object *result,
				    const struct failure *failure)
{
	struct vm *vm = data;

	if (!failure)
		return;
	vm_log(vm, VM_EVENT_SCREEN, LOG_LEVEL_WARNING, "the screen cannot be shown: %s",
	       failure->message);
	vm_viewers_forget(vm);
}

static int viewers_start_process(struct vm *vm, int link)
{
	struct vm_viewers *viewers = &vm->viewers;
	int pair[2], pipes[2], r;

	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_origin(-errno);
	AUTO_CLOSE int output = pipes[1];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = error_origin(-errno);
		close(pipes[0]);
		return r;
	}
	AUTO_CLOSE int far = pair[1];
	socket_refuse_files(pair[0]);
	*viewers = (struct vm_viewers){ .control = pair[0], .output = pipes[0], .pidfd = -1 };
	r = viewers_spawn(vm, far, link, output);
	if (r < 0 && viewers->pid == 0) {
		close(viewers->control);
		close(viewers->output);
		*viewers = (struct vm_viewers){ 0 };
	} else if (r < 0) {
		vm_viewers_forget(vm);
	}
	return r;
}

static int viewers_start(struct vm *vm, struct failure *failure)
{
	int link[2], r;

	if (vm->viewers.pid > 0)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0)
		return failure_no_memory(failure);
	AUTO_CLOSE int near = link[0], far = link[1];
	r = viewers_start_process(vm, far);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "VM '%s': the process that shows its screen cannot be started: "
				   "%s: %s%s",
				   vm->definition->name, vm->manager->settings.screen, strerror(-r),
				   r == -ENOENT ? "; install the package vmms again" : "");
	r = vm_guest_ask(vm, "show_screen", NULL, near, SHOW_TIMEOUT, viewers_worker_answered, vm,
			 failure);
	if (r < 0)
		vm_viewers_forget(vm);
	return r;
}

/* ---- A viewer ---- */

static int viewers_send(const struct vm *vm, bool read_only, int fd)
{
	struct screen_viewer_message viewer = { .read_only = read_only };
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .align = { .cmsg_level = SOL_SOCKET,
				 .cmsg_type = SCM_RIGHTS,
				 .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec iov = { &viewer, sizeof(viewer) };
	const struct msghdr message = { .msg_iov = &iov,
					.msg_iovlen = 1,
					.msg_control = control.space,
					.msg_controllen = sizeof(control.space) };

	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	return sendmsg(vm->viewers.control, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0
		       ? error_origin(-errno)
		       : 0;
}

int vm_open_screen(struct vm *vm, const char *who, bool read_only, int *ret_fd,
		   struct failure *failure)
{
	int pair[2], r;

	if (!vm->run.worker || !vm->definition->video.present)
		return failure_set(failure,
				   vm->run.worker ? DBUS_ERROR_HOST_NOT_CAPABLE
						  : DBUS_ERROR_INVALID_STATE,
				   vm->run.worker ? "VM '%s' has no screen: \"video\" in its "
						    "definition, from its next start on"
						  : "VM '%s' does not run",
				   vm->definition->name);
	r = viewers_start(vm, failure);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return failure_no_memory(failure);
	AUTO_CLOSE int near = pair[0], far = pair[1];
	/* What that process does not take of it may come back to the daemon, to be closed. */
	plain_socket_make(near);
	plain_socket_make(far);
	r = viewers_send(vm, read_only, far);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_RESOURCE,
				   "VM '%s': the process that shows its screen takes no viewer: %s",
				   vm->definition->name, strerror(-r));
	vm_log(vm, VM_EVENT_SCREEN, LOG_LEVEL_INFO, "%s opens the screen%s", who,
	       read_only ? ", to look at it" : "");
	*ret_fd = TAKE_FD(near);
	return 0;
}
