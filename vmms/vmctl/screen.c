/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pictures of `vmctl top`.
 *
 * A line is put together whole, then cut at the width of the terminal. Names are of VMs, which an
 * administrator gave and vmms has checked; nothing of a guest is shown here.
 */
#include "vmms/vmctl/screen.h"

#include "common/base/text.h"

#include <stdarg.h>
#include <string.h>

#define LINE_SIZE  512
#define NAME_WIDTH 14

/* ---- Numbers ---- */

static void screen_format_scaled(double value, double step, const char *units,
				 char text[SCREEN_CELL])
{
	size_t unit = 0;

	for (; value >= step * 9.995 / 10 && units[unit + 1] != '\0'; unit++)
		value /= step;
	if (unit == 0)
		snprintf(text, SCREEN_CELL, "%.0f", value);
	else
		snprintf(text, SCREEN_CELL, value < 99.95 ? "%.1f%c" : "%.0f%c", value,
			 units[unit]);
}

void screen_format_count(double count, char text[static SCREEN_CELL])
{
	if (count < 9999.5)
		snprintf(text, SCREEN_CELL, "%.0f", count);
	else
		screen_format_scaled(count, 1000, " KMGT", text);
}

void screen_format_bytes(double bytes, char text[static SCREEN_CELL])
{
	screen_format_scaled(bytes, 1024, " KMGTP", text);
}

void screen_format_time(double us, char text[static SCREEN_CELL])
{
	if (us <= 0)
		snprintf(text, SCREEN_CELL, "-");
	else if (us < 999.5)
		snprintf(text, SCREEN_CELL, us < 9.95 ? "%.1fus" : "%.0fus", us);
	else if (us < 999500)
		snprintf(text, SCREEN_CELL, "%.1fms", us / 1e3);
	else
		snprintf(text, SCREEN_CELL, "%.1fs", us / 1e6);
}

/* ---- Lines ---- */

/* A line on its way: how much of it there is. */
struct line {
	char text[LINE_SIZE];
	size_t used;
};

static void screen_line_add(struct line *line, const char *format, ...) PRINTF_LIKE(2, 3);

static void screen_line_add(struct line *line, const char *format, ...)
{
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(line->text + line->used, sizeof(line->text) - line->used, format,
			 arguments);
	va_end(arguments);
	line->used = MIN(line->used + (size_t)MAX(size, 0), sizeof(line->text) - 1);
}

static void screen_put_line(const struct screen *screen, const char *text, bool title)
{
	int width = screen->columns ? (int)screen->columns : LINE_SIZE;

	fprintf(screen->stream, "%s%.*s%s%s", title ? screen->bold : "", width, text,
		title ? screen->plain : "", screen->line_end);
}

/* ---- Tables ---- */

enum cell_kind { CELL_PERCENT, CELL_COUNT, CELL_BYTES, CELL_TIME };

struct column {
	const char *title;
	enum cell_kind kind;
	double (*value)(const struct vm_rates *vm);
};

#define VALUE(name, expression)                       \
	static double name(const struct vm_rates *vm) \
	{                                             \
		return expression;                    \
	}

VALUE(guest, vm->guest)
VALUE(host, vm->host)
VALUE(steal, vm->steal)
/* KVM's number, which has the worker's in it, where there is one. */
VALUE(exits, MAX(vm->rates[RATE_KERNEL_EXITS], vm->exits))
VALUE(halt, vm->rates[RATE_KERNEL_HALT])
VALUE(interrupt, vm->rates[RATE_KERNEL_INTERRUPT])
VALUE(to_worker, vm->exits)
VALUE(interrupts, vm->rates[RATE_INTERRUPTS])
VALUE(timers, vm->rates[RATE_TIMERS])
VALUE(resident, (double)vm->resident)
VALUE(memory, (double)vm->memory)
VALUE(assigned, (double)vm->assigned)
VALUE(demand, (double)vm->demand)
VALUE(reads, vm->rates[RATE_READS])
VALUE(writes, vm->rates[RATE_WRITES])
VALUE(bytes_read, vm->rates[RATE_BYTES_READ])
VALUE(bytes_written, vm->rates[RATE_BYTES_WRITTEN])
VALUE(read_median, vm->read.median)
VALUE(read_p99, vm->read.p99)
VALUE(write_median, vm->write.median)
VALUE(write_p99, vm->write.p99)
VALUE(received_frames, vm->rates[RATE_RECEIVED_FRAMES])
VALUE(sent_frames, vm->rates[RATE_SENT_FRAMES])
VALUE(received_bytes, vm->rates[RATE_RECEIVED_BYTES])
VALUE(sent_bytes, vm->rates[RATE_SENT_BYTES])
VALUE(io_port, vm->rates[RATE_IO_PORT])
VALUE(mmio, vm->rates[RATE_MMIO])
VALUE(msr, vm->rates[RATE_MSR_READ] + vm->rates[RATE_MSR_WRITE])
VALUE(hypercall, vm->rates[RATE_HYPERCALL])

#define COLUMNS_MAX  8
#define COLUMN_WIDTH 6

static const struct column tables[_SCREEN_VIEW_COUNT][COLUMNS_MAX] = {
	[SCREEN_CPU] = { { "GUEST%", CELL_PERCENT, guest },
			 { "HOST%", CELL_PERCENT, host },
			 { "STEAL%", CELL_PERCENT, steal },
			 { "EXIT/s", CELL_COUNT, exits },
			 { "INTR/s", CELL_COUNT, interrupts },
			 { "TMR/s", CELL_COUNT, timers },
			 { "USED", CELL_BYTES, resident },
			 { "MEMORY", CELL_BYTES, assigned } },
	[SCREEN_DISK] = { { "RD/s", CELL_COUNT, reads },
			  { "WR/s", CELL_COUNT, writes },
			  { "RD B/s", CELL_BYTES, bytes_read },
			  { "WR B/s", CELL_BYTES, bytes_written },
			  { "RD p50", CELL_TIME, read_median },
			  { "RD p99", CELL_TIME, read_p99 },
			  { "WR p50", CELL_TIME, write_median },
			  { "WR p99", CELL_TIME, write_p99 } },
	[SCREEN_NETWORK] = { { "RECV/s", CELL_COUNT, received_frames },
			     { "SENT/s", CELL_COUNT, sent_frames },
			     { "RX B/s", CELL_BYTES, received_bytes },
			     { "TX B/s", CELL_BYTES, sent_bytes } },
	[SCREEN_EXITS] = { { "ALL", CELL_COUNT, exits },
			   { "HALT", CELL_COUNT, halt },
			   { "INTR", CELL_COUNT, interrupt },
			   { "WORKER", CELL_COUNT, to_worker },
			   { "I/O", CELL_COUNT, io_port },
			   { "MMIO", CELL_COUNT, mmio },
			   { "MSR", CELL_COUNT, msr },
			   { "HCALL", CELL_COUNT, hypercall } },
	[SCREEN_MEMORY] = { { "SIZE", CELL_BYTES, memory },
			    { "HAS", CELL_BYTES, assigned },
			    { "NEEDS", CELL_BYTES, demand },
			    { "USED", CELL_BYTES, resident } },
};

static const char *const titles[_SCREEN_VIEW_COUNT] = {
	[SCREEN_CPU] = "CPU, MEMORY", [SCREEN_DISK] = "DISKS",    [SCREEN_NETWORK] = "NETWORK",
	[SCREEN_EXITS] = "EXITS/s",   [SCREEN_MEMORY] = "MEMORY",
};

static void screen_format_cell(const struct column *column, const struct vm_rates *vm,
			       char text[SCREEN_CELL])
{
	double value = column->value(vm);

	switch (column->kind) {
	case CELL_PERCENT:
		snprintf(text, SCREEN_CELL, "%.1f", value);
		return;
	case CELL_COUNT:
		screen_format_count(value, text);
		return;
	case CELL_BYTES:
		screen_format_bytes(value, text);
		return;
	case CELL_TIME:
		screen_format_time(value, text);
		return;
	}
}

/* grouped: a VM is in a CPU group; they are named last, where the line may end. */
static void screen_put_title(const struct screen *screen, enum screen_view view, bool grouped)
{
	struct line line = { .used = 0 };

	screen_line_add(&line, "%-*s %-8s", NAME_WIDTH, titles[view],
			view == SCREEN_CPU ? "STATE" : "");
	for (size_t i = 0; i < COLUMNS_MAX && tables[view][i].title; i++)
		screen_line_add(&line, "%*s", COLUMN_WIDTH + 1, tables[view][i].title);
	if (view == SCREEN_CPU && grouped)
		screen_line_add(&line, " CPU GROUP");
	screen_put_line(screen, line.text, true);
}

/* What is not known yet, for a VM has come only now or does not answer, is a dash. */
static void screen_put_vm(const struct screen *screen, enum screen_view view,
			  const struct vm_rates *vm)
{
	struct line line = { .used = 0 };
	char cell[SCREEN_CELL];

	screen_line_add(&line, "%-*.*s %-8.8s", NAME_WIDTH, NAME_WIDTH, vm->name,
			view == SCREEN_CPU ? vm->state : "");
	for (size_t i = 0; i < COLUMNS_MAX && tables[view][i].title; i++) {
		bool known = vm->known || tables[view][i].value == memory ||
			     tables[view][i].value == assigned;

		strcpy(cell, "-");
		if (known)
			screen_format_cell(&tables[view][i], vm, cell);
		screen_line_add(&line, "%*s", COLUMN_WIDTH + 1, cell);
	}
	if (view == SCREEN_CPU && vm->cpu_group[0] != '\0')
		screen_line_add(&line, " %s", vm->cpu_group);
	screen_put_line(screen, line.text, false);
}

static bool screen_is_shown(const struct vm_rates *vm)
{
	return vm->running || strcmp(vm->state, "running") == 0;
}

/* A title and at most `rows` VMs. */
static void screen_put_table(const struct screen *screen, enum screen_view view,
			     const struct rates *rates, size_t rows)
{
	bool grouped = false;

	for (size_t i = 0; i < rates->count; i++)
		grouped = grouped || rates->vms[i].cpu_group[0] != '\0';
	screen_put_title(screen, view, grouped);
	for (size_t i = 0; i < rates->count && rows > 0; i++) {
		if (!screen_is_shown(&rates->vms[i]))
			continue;
		screen_put_vm(screen, view, &rates->vms[i]);
		rows--;
	}
}

void screen_draw(const struct screen *screen, const char *head, const struct rates *rates)
{
	size_t shown = 0, all;

	for (size_t i = 0; i < rates->count; i++)
		shown += screen_is_shown(&rates->vms[i]);
	all = 1 + _SCREEN_VIEW_COUNT * (shown + 2);
	screen_put_line(screen, head, false);
	if (screen->rows > 0 && all > screen->rows) {
		screen_put_line(screen, "", false);
		screen_put_table(screen, screen->view, rates,
				 screen->rows > 4 ? screen->rows - 4 : 1);
		return;
	}
	for (enum screen_view view = 0; view < _SCREEN_VIEW_COUNT; view++) {
		screen_put_line(screen, "", false);
		screen_put_table(screen, view, rates, shown);
	}
}
