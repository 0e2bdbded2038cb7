/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The programs that make guests: run, watched, and undone.
 *
 * One pipe has their lines, the other what they and those that they run say of trouble, of which
 * the end is kept and shown if they fail. Both are read until nobody has them open any more: then
 * the whole group has ended.
 */
#include "vmms/vmctl/guest_maker.h"
#include "vmms/vmctl/clock.h"
#include "vmms/vmctl/terminal.h"

#include "common/base/cleanup.h"
#include "common/base/parse.h"
#include "common/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH     30
#define LINE_SIZE     1024
#define TROUBLE_LINES 12   /* that are kept */
#define TICK          1000 /* milliseconds between two looks at the time */
#define TIMEOUT       60   /* seconds that it gets to end when it is told to */
#define STEPS_MAX     99
#define ERROR_WORD    "error: "

/* What comes through a pipe, line by line. */
struct lines {
	int fd; /* -1: closed */
	char text[LINE_SIZE];
	size_t length;
	void (*take)(struct lines *lines, char *line);
};

struct maker {
	pid_t pid;
	const char *label;
	struct guest *guest;
	struct lines told, trouble;
	char *kept[TROUBLE_LINES]; /* the last line of trouble, and before */
	bool show;
	unsigned step;
	uint64_t steps;
	char *doing;
	time_t begun, told_to_end; /* 0: not */
};

static volatile sig_atomic_t interrupted;

static void maker_on_signal(int number)
{
	interrupted = number;
}

/* ---- On the terminal ---- */

static void maker_draw(const struct maker *maker)
{
	AUTO_FREE char *doing = text_escape_new(maker->doing ?: "", strlen(maker->doing ?: ""));
	unsigned done = maker->step > 0 ? maker->step - 1 : 0;
	char bar[BAR_WIDTH + 1];

	if (!maker->show || !doing || maker->steps == 0)
		return;
	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '#', MIN(done, (unsigned)maker->steps) * BAR_WIDTH / maker->steps);
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%s: [%s] %u of %u, %s, %u s\033[K", maker->label, bar, maker->step,
		(unsigned)maker->steps, doing, (unsigned)(clock_boot() - maker->begun));
}

static void maker_erase(const struct maker *maker)
{
	if (maker->show)
		fputs("\r\033[K", stderr);
}

/* ---- What it tells ---- */

static void maker_replace(char **text, const char *value)
{
	free(*text);
	*text = strdup(value);
}

static void maker_take_step(struct maker *maker, const char *value)
{
	maker->step++;
	maker_replace(&maker->doing, value);
	maker_draw(maker);
}

static void maker_take_told(struct lines *lines, char *line)
{
	struct maker *maker = container_of(lines, struct maker, told);
	const struct {
		const char *word;
		char **text;
	} texts[] = { { "command-line", &maker->guest->command_line },
		      { "user", &maker->guest->user },
		      { "password", &maker->guest->password } };
	char *value = strchr(line, ' ');

	if (!value)
		return;
	*value++ = '\0';
	if (strcmp(line, "step") == 0)
		maker_take_step(maker, value);
	else if (strcmp(line, "steps") == 0)
		(void)!parse_unsigned(value, 1, STEPS_MAX, &maker->steps);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (strcmp(line, texts[i].word) == 0)
			maker_replace(texts[i].text, value);
	}
}

static void maker_take_trouble(struct lines *lines, char *line)
{
	struct maker *maker = container_of(lines, struct maker, trouble);

	if (line[0] == '\0')
		return;
	free(maker->kept[TROUBLE_LINES - 1]);
	memmove(maker->kept + 1, maker->kept, (TROUBLE_LINES - 1) * sizeof(*maker->kept));
	maker->kept[0] = text_escape_new(line, strlen(line));
}

/* A line that is too long is taken in pieces; of one with a carriage return, what is after it. */
static void maker_lines_take(struct lines *lines)
{
	char *start = lines->text, *end, *shown;

	lines->text[lines->length] = '\0';
	while ((end = strchr(start, '\n'))) {
		*end = '\0';
		shown = strrchr(start, '\r');
		lines->take(lines, shown ? shown + 1 : start);
		start = end + 1;
	}
	lines->length -= (size_t)(start - lines->text);
	memmove(lines->text, start, lines->length);
	if (lines->length == sizeof(lines->text) - 1) {
		lines->take(lines, lines->text);
		lines->length = 0;
	}
}

static void maker_lines_read(struct lines *lines)
{
	ssize_t size;

	size = read(lines->fd, lines->text + lines->length,
		    sizeof(lines->text) - 1 - lines->length);
	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (size <= 0) {
		lines->text[lines->length] = '\0';
		lines->take(lines, lines->text);
		close(lines->fd);
		lines->fd = -1;
		return;
	}
	/* NULs would hide what comes after them. */
	for (ssize_t i = 0; i < size; i++) {
		char *byte = &lines->text[lines->length + (size_t)i];

		*byte = *byte == '\0' ? '?' : *byte;
	}
	lines->length += (size_t)size;
	maker_lines_take(lines);
}

/* ---- The process ---- */

static void maker_execute(const char *path, char *const *words, int out, int error, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	    dup2(out, STDOUT_FILENO) >= 0 && dup2(error, STDERR_FILENO) >= 0)
		execv(path, words);
	dprintf(error, ERROR_WORD "%s cannot be run: %s; install vmctl again\n", path,
		strerror(errno));
	_exit(127);
}

static int maker_spawn(struct maker *maker, const char *path, char *const *words)
{
	int out[2], error[2];
	pid_t parent = getpid();

	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	maker->told = (struct lines){ .fd = out[0], .take = maker_take_told };
	AUTO_CLOSE int far_out = out[1];
	if (pipe2(error, O_CLOEXEC) < 0)
		return -errno;
	maker->trouble = (struct lines){ .fd = error[0], .take = maker_take_trouble };
	AUTO_CLOSE int far_error = error[1];
	fflush(NULL);
	maker->pid = fork();
	if (maker->pid < 0)
		return -errno;
	if (maker->pid == 0)
		maker_execute(path, words, far_out, far_error, parent);
	/* Here too: whoever is first. */
	(void)setpgid(maker->pid, maker->pid);
	return 0;
}

/* An interrupt is passed on; it gets some time to clean up. */
static void maker_look_at_interrupt(struct maker *maker)
{
	if (interrupted && maker->told_to_end == 0) {
		maker->told_to_end = clock_boot();
		(void)kill(-maker->pid, SIGTERM);
	} else if (maker->told_to_end != 0 && clock_boot() - maker->told_to_end > TIMEOUT) {
		(void)kill(-maker->pid, SIGKILL);
	}
}

/* Return: as waitpid(2) has it. */
static int maker_await(struct maker *maker)
{
	struct lines *const all[] = { &maker->told, &maker->trouble };
	int status = 0;

	while (maker->told.fd >= 0 || maker->trouble.fd >= 0) {
		struct pollfd polls[] = { { .fd = maker->told.fd, .events = POLLIN },
					  { .fd = maker->trouble.fd, .events = POLLIN } };

		if (poll(polls, ARRAY_SIZE(polls), TICK) == 0)
			maker_draw(maker);
		for (size_t i = 0; i < ARRAY_SIZE(polls); i++) {
			if (polls[i].revents)
				maker_lines_read(all[i]);
		}
		maker_look_at_interrupt(maker);
	}
	while (waitpid(maker->pid, &status, 0) < 0 && errno == EINTR)
		maker_look_at_interrupt(maker);
	return status;
}

/* What it said last is why, and what came before perhaps, too. */
static enum status maker_say_why(struct maker *maker)
{
	const char *why = maker->kept[0];

	if (interrupted) {
		if (access(maker->guest->folder, F_OK) == 0)
			fprintf(stderr, "vmctl: interrupted; remove what is left: %s\n",
				maker->guest->folder);
		else
			fputs("vmctl: interrupted; nothing is left of the guest\n", stderr);
		return STATUS_FAILED;
	}
	for (size_t i = TROUBLE_LINES; i-- > 1;) {
		if (maker->kept[i])
			fprintf(stderr, "  %s\n", maker->kept[i]);
	}
	if (why && strncmp(why, ERROR_WORD, strlen(ERROR_WORD)) == 0)
		why += strlen(ERROR_WORD);
	fprintf(stderr, "vmctl: %s\n", why ?: "the guest could not be made");
	return STATUS_FAILED;
}

static bool maker_is_whole(const struct guest *guest)
{
	return guest->command_line && guest->user && guest->password;
}

static enum status maker_run(struct maker *maker, const char *path, char *const *words)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction before[ARRAY_SIZE(numbers)];
	int r, status = 0;

	interrupted = 0;
	r = maker_spawn(maker, path, words);
	if (r < 0)
		return service_failed(r, NULL);
	/* Without SA_RESTART, to be noticed by poll(). */
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &(struct sigaction){ .sa_handler = maker_on_signal },
			  &before[i]);
	status = maker_await(maker);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &before[i], NULL);
	maker_erase(maker);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && maker_is_whole(maker->guest)) {
		if (!interrupted)
			return STATUS_OK;
		/* Which came when there was nobody any more to pass it on to. */
		guest_remove(maker->guest);
	}
	return maker_say_why(maker);
}

static void maker_deinit(struct maker *maker)
{
	if (maker->told.fd >= 0)
		close(maker->told.fd);
	if (maker->trouble.fd >= 0)
		close(maker->trouble.fd);
	for (size_t i = 0; i < TROUBLE_LINES; i++)
		free(maker->kept[i]);
	free(maker->doing);
}

/* ---- A guest ---- */

/* program, and its arguments. NULL without memory; the words are borrowed. */
static char **maker_make_words(const char *program, const char *const *arguments)
{
	size_t count = 0;
	char **words;

	while (arguments[count])
		count++;
	words = calloc(count + 2, sizeof(*words));
	if (!words)
		return NULL;
	words[0] = (char *)program;
	memcpy(words + 1, arguments, count * sizeof(*words));
	return words;
}

enum status guest_make(struct invocation *invocation, const char *program,
		       const char *const *arguments, const char *label, struct guest *ret_guest)
{
	CLEANUP(maker_deinit)
	struct maker maker = { .label = label,
			       .guest = ret_guest,
			       .told.fd = -1,
			       .trouble.fd = -1,
			       .show = terminal_shows_progress() && !invocation->json,
			       .begun = clock_boot() };
	const char *folder = getenv("VMCTL_LIBEXEC");
	AUTO_FREE char *path = NULL, *seed = NULL;
	AUTO_FREE char **words = maker_make_words(program, arguments);
	enum status status;

	*ret_guest = (struct guest){ .folder = strdup(arguments[0]) };
	if (!words || !ret_guest->folder ||
	    asprintf(&path, "%s/%s", folder ?: VMCTL_LIBEXEC, program) < 0 ||
	    asprintf(&seed, "%s/seed.iso", arguments[0]) < 0)
		return service_failed(-ENOMEM, NULL);
	status = maker_run(&maker, path, words);
	ret_guest->seed = access(seed, F_OK) == 0;
	return status;
}

void guest_remove(const struct guest *guest)
{
	static const char *const names[] = { "disk.raw", "vmlinuz", "initrd.img", "seed.iso" };
	int folder = open(guest->folder, O_DIRECTORY | O_PATH | O_CLOEXEC);

	if (folder < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlinkat(folder, names[i], 0);
	close(folder);
	(void)rmdir(guest->folder);
}

void guest_deinit(struct guest *guest)
{
	free(guest->folder);
	free(guest->command_line);
	free(guest->user);
	free(guest->password);
}

struct json_object *guest_file(const struct guest *guest, const char *name)
{
	AUTO_FREE char *path = NULL;

	if (asprintf(&path, "%s/%s", guest->folder, name) < 0)
		path = NULL;
	return path ? json_object_new_string(path) : NULL;
}
