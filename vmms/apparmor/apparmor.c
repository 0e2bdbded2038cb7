/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Profiles of AppArmor: apparmor_parser(8) is run for them. */
#include "vmms/apparmor/apparmor.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/base/spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WHOSE  "apparmor_parser" /* no user is called so */
#define MODULE "/sys/module/apparmor/parameters/enabled"

/* ---- Whether it can be had ---- */

int apparmor_mode_parse(const char *text, enum apparmor_mode *ret_mode)
{
	static const char *const modes[] = {
		[APPARMOR_AUTO] = "auto", [APPARMOR_REQUIRE] = "require", [APPARMOR_OFF] = "off"
	};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(modes[i], text) == 0) {
			*ret_mode = (enum apparmor_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

static bool apparmor_kernel_has_it(void)
{
	AUTO_CLOSE int fd = open(MODULE, O_RDONLY | O_CLOEXEC);
	char answer;

	return spawn_profile_is_faked() || (fd >= 0 && read(fd, &answer, 1) == 1 && answer == 'Y');
}

const char *apparmor_obstacle(const char *parser)
{
	if (!apparmor_kernel_has_it())
		return "the kernel has no AppArmor, or it is switched off there";
	if (geteuid() != 0)
		return "profiles are loaded by root alone";
	if (access(parser, X_OK) < 0)
		return "there is no apparmor_parser; install the package apparmor";
	return NULL;
}

/* ---- The process ---- */

struct work {
	const struct apparmor_config *config;
	const char *name;
	bool (*is_used)(void *data, const char *name);
	void *data;
	uint64_t now; /* profiles with a lower number are an earlier daemon's */
};

/* What the process says; problem: "": it has done it. */
struct message {
	char problem[APPARMOR_PROBLEM_MAX];
};

static int PRINTF_LIKE(2, 3) apparmor_fail(struct message *message, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message->problem, sizeof(message->problem), format, arguments);
	va_end(arguments);
	return -1;
}

_Noreturn static void apparmor_run_parser(const char *parser, const char *action, const char *path,
					  int output)
{
	char *const arguments[] = { (char *)parser, (char *)action, (char *)"--skip-cache",
				    (char *)path, NULL };
	char *const environment[] = { NULL };
	int null = open("/dev/null", O_RDWR);

	/* It is killed with us, should it take too long. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
		_exit(127);
	execve(parser, arguments, environment);
	dprintf(STDERR_FILENO, "%s", strerror(errno));
	_exit(127);
}

/* As much of it as there is room for, in one line; what is behind is read and lost. */
static void apparmor_read_words(int fd, char words[APPARMOR_PROBLEM_MAX / 2])
{
	size_t room = APPARMOR_PROBLEM_MAX / 2 - 1, size = 0;
	char lost[4096];
	ssize_t got;

	do {
		got = size < room ? read(fd, words + size, room - size)
				  : read(fd, lost, sizeof(lost));
		if (got > 0 && size < room)
			size += (size_t)got;
	} while (got > 0 || (got < 0 && errno == EINTR));
	while (size > 0 && words[size - 1] == '\n')
		size--;
	words[size] = '\0';
	for (char *byte = words; *byte; byte++) {
		if (*byte == '\n')
			*byte = ' ';
	}
}

static int apparmor_parse(const char *parser, const char *action, const char *path,
			  struct message *message)
{
	char words[APPARMOR_PROBLEM_MAX / 2];
	int pipes[2], status;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return apparmor_fail(message, "%s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return apparmor_fail(message, "%s", strerror(errno));
	if (pid == 0)
		apparmor_run_parser(parser, action, path, pipes[1]);
	close(pipes[1]);
	apparmor_read_words(pipes[0], words);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return apparmor_fail(message, "%s %s: %s", parser, action,
			     words[0] != '\0' ? words : "it failed and did not say why");
}

static void apparmor_make_path(const struct apparmor_config *config, const char *name,
			       char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" APPARMOR_FOLDER "/%s", config->runtime_directory, name);
}

/* AppArmor goes by where a file is. One that is missing is not executed. */
static const char *apparmor_resolve(const char *path, char room[PATH_MAX])
{
	return realpath(path, room) ? room : path;
}

static int apparmor_write_text(const struct work *work, const char *path, struct message *message)
{
	const struct apparmor_programs *programs = &work->config->programs;
	static char room[5][PATH_MAX], text[APPARMOR_PROFILE_SIZE];
	const struct apparmor_programs resolved = {
		.worker = apparmor_resolve(programs->worker, room[0]),
		.image_server = apparmor_resolve(programs->image_server, room[1]),
		.image_guard = apparmor_resolve(programs->image_guard, room[2]),
		.passt = apparmor_resolve(programs->passt, room[3]),
		.screen = apparmor_resolve(programs->screen, room[4]),
	};
	int r = apparmor_profile_write(work->name, &resolved, text);

	if (r < 0)
		return apparmor_fail(
			message, "%s",
			r == -EINVAL ? "the path of a program (worker, image-server, passt) "
				       "has characters other than letters, digits and "
				       "/._+-=~ and space"
				     : "paths of programs are too long");
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return apparmor_fail(message, "%s: %s", path, strerror(errno));
	return 0;
}

static void load(int socket, void *data)
{
	const struct work *work = data;
	struct message message = { .problem = "" };
	char folder[PATH_MAX], path[PATH_MAX];

	apparmor_make_path(work->config, "", folder);
	apparmor_make_path(work->config, work->name, path);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		apparmor_fail(&message, "%s: %s", folder, strerror(errno));
	else if (apparmor_write_text(work, path, &message) == 0)
		(void)apparmor_parse(work->config->parser, "--replace", path, &message);
	if (message.problem[0] != '\0')
		(void)unlink(path);
	helper_send(socket, &message, sizeof(message), -1);
}

static void apparmor_remove_one(const struct work *work, const char *name, int socket)
{
	struct message message = { .problem = "" };
	char path[PATH_MAX];

	apparmor_make_path(work->config, name, path);
	if (access(path, F_OK) < 0)
		return; /* it did not come to that */
	if (apparmor_parse(work->config->parser, "--remove", path, &message) < 0)
		helper_send(socket, &message, sizeof(message), -1);
	(void)unlink(path);
}

static void apparmor_unload(int socket, void *data)
{
	const struct work *work = data;

	apparmor_remove_one(work, work->name, socket);
}

static void apparmor_unload_stale(int socket, void *data)
{
	const struct work *work = data;
	const struct dirent *entry;
	char folder[PATH_MAX];
	uint64_t number;
	DIR *directory;

	apparmor_make_path(work->config, "", folder);
	directory = opendir(folder);
	while (directory && (entry = readdir(directory))) {
		if (apparmor_profile_number(entry->d_name, &number) == 0 && number < work->now &&
		    !work->is_used(work->data, entry->d_name))
			apparmor_remove_one(work, entry->d_name, socket);
	}
}

/* ---- Loading ---- */

struct apparmor_load {
	struct helper *helper;
	apparmor_loaded_fn loaded;
	void *data;
	unsigned timeout;
	bool heard;
	char problem[APPARMOR_PROBLEM_MAX];
};

static void apparmor_take_problem(const void *bytes, size_t size, int fd,
				  char problem[APPARMOR_PROBLEM_MAX])
{
	const struct message *message = bytes;

	close_fdp(&fd); /* none comes */
	problem[0] = '\0';
	if (size == sizeof(*message))
		text_repair(problem, APPARMOR_PROBLEM_MAX, message->problem,
			    strnlen(message->problem, sizeof(message->problem)));
}

static void apparmor_load_heard(void *owner, const void *bytes, size_t size, int fd)
{
	struct apparmor_load *load = owner;

	load->heard = true;
	apparmor_take_problem(bytes, size, fd, load->problem);
}

static void apparmor_load_ended(void *owner, int result)
{
	struct apparmor_load *load = owner;

	load->helper = NULL;
	if (!load->heard && result == -ETIMEDOUT)
		snprintf(load->problem, sizeof(load->problem),
			 "apparmor_parser has not ended within %u seconds", load->timeout);
	else if (!load->heard)
		snprintf(load->problem, sizeof(load->problem),
			 "the process that ran apparmor_parser was killed");
	load->loaded(load->data, load->problem[0] != '\0' ? load->problem : NULL);
	apparmor_load_free(load);
}

static const struct helper_callbacks load_callbacks = { .message = apparmor_load_heard,
							.ended = apparmor_load_ended };

int apparmor_load(struct helpers *helpers, const struct apparmor_config *config, const char *name,
		  apparmor_loaded_fn loaded, void *data, struct apparmor_load **ret_load)
{
	struct apparmor_load *load_of = calloc(1, sizeof(*load_of));
	struct work work = { .config = config, .name = name };
	const struct helper_config helper = { .whose = WHOSE,
					      .timeout = config->timeout,
					      .work = load,
					      .data = &work,
					      .callbacks = &load_callbacks,
					      .owner = load_of };
	int r;

	if (!load_of)
		return -ENOMEM;
	load_of->loaded = loaded;
	load_of->data = data;
	load_of->timeout = config->timeout;
	r = helper_new(helpers, &helper, &load_of->helper);
	if (r < 0) {
		free(load_of);
		return r;
	}
	*ret_load = load_of;
	return 0;
}

void apparmor_load_cancel(struct apparmor_load *load)
{
	helper_cancel(load->helper);
}

void apparmor_load_free(struct apparmor_load *load)
{
	if (!load)
		return;
	helper_free(load->helper);
	free(load);
}

/* ---- Removing ---- */

static void apparmor_remove_heard(void *owner, const void *bytes, size_t size, int fd)
{
	char problem[APPARMOR_PROBLEM_MAX];

	apparmor_take_problem(bytes, size, fd, problem);
	log_warning("a profile of AppArmor is not removed: %s", problem);
}

static void apparmor_remove_ended(void *owner, int result)
{
	if (result == -ETIMEDOUT)
		log_warning("profiles of AppArmor are not removed: apparmor_parser does not end");
}

static const struct helper_callbacks remove_callbacks = { .message = apparmor_remove_heard,
							  .ended = apparmor_remove_ended };

static void apparmor_start_removal(struct helpers *helpers, const struct apparmor_config *config,
				   void (*run)(int, void *), struct work *work)
{
	const struct helper_config removal = { .whose = WHOSE,
					       .timeout = config->timeout,
					       .work = run,
					       .data = work,
					       .callbacks = &remove_callbacks };
	struct helper *helper;
	int r = helper_new(helpers, &removal, &helper);

	if (r < 0)
		log_warning("profiles of AppArmor are not removed: %s", strerror(-r));
}

void apparmor_remove(struct helpers *helpers, const struct apparmor_config *config,
		     const char *name)
{
	struct work work = { .config = config, .name = name };

	apparmor_start_removal(helpers, config, apparmor_unload, &work);
}

uint64_t apparmor_next_number(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void apparmor_remove_stale(struct helpers *helpers, const struct apparmor_config *config,
			   bool (*is_used)(void *data, const char *name), void *data)
{
	struct work work = {
		.config = config, .is_used = is_used, .data = data, .now = apparmor_next_number()
	};

	apparmor_start_removal(helpers, config, apparmor_unload_stale, &work);
}
