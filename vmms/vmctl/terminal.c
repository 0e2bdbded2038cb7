/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal on standard input, made raw and put back. */
#include "vmms/vmctl/terminal.h"

#include "common/base/cc.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t is_raw, has_screen;

static const char open_screen[] = "\033[?1049h\033[?25l\033[2J";
static const char close_screen[] = "\033[?25h\033[?1049l";

bool terminal_is_there(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

bool terminal_shows_progress(void)
{
	return isatty(STDERR_FILENO) || getenv(TERMINAL_PROGRESS_VARIABLE);
}

/* Nowhere to report a failure. */
static void terminal_send(const char *sequence, size_t size)
{
	if (write(STDOUT_FILENO, sequence, size) < 0)
		return;
}

void terminal_restore(void)
{
	if (has_screen)
		terminal_send(close_screen, sizeof(close_screen) - 1);
	has_screen = false;
	if (is_raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	is_raw = false;
}

/* tcsetattr(3) and write(2) may be called from a signal handler. */
static void terminal_restore_and_die(int number)
{
	terminal_restore();
	signal(number, SIG_DFL);
	raise(number);
}

void terminal_make_raw(void)
{
	static const int signals[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	raw = saved;
	cfmakeraw(&raw);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], terminal_restore_and_die);
	atexit(terminal_restore);
	/* Not TCSADRAIN: a terminal that nobody reads would hold us up. */
	is_raw = true;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void terminal_open_screen(void)
{
	terminal_make_raw();
	has_screen = true;
	terminal_send(open_screen, sizeof(open_screen) - 1);
}
