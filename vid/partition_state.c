/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The state of a partition: interrupt controllers, and the clock.
 *
 * A PIT is vid/pit.c's. The levels of the pins are not among what it tells of its IOAPIC: who drives
 * a pin drives it anew.
 */
#include "vid/internal.h"

#include <string.h>

/* Where KVM has its IOAPIC, and nothing moves it. */
#define IOAPIC_ADDRESS UINT64_C(0xfec00000)

static const uint32_t pic_chips[VID_PIC_COUNT] = { KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE };

static int chip_get(struct vid_partition *partition, uint32_t chip, struct kvm_irqchip *ret_chip)
{
	*ret_chip = (struct kvm_irqchip){ .chip_id = chip };
	return ioctl(partition->fd, KVM_GET_IRQCHIP, ret_chip) < 0 ? -errno : 0;
}

static int chip_set(struct vid_partition *partition, struct kvm_irqchip *chip)
{
	return ioctl(partition->fd, KVM_SET_IRQCHIP, chip) < 0 ? -errno : 0;
}

/* ---- Saving ---- */

static struct vid_pic_state pic_from_kvm(const struct kvm_pic_state *pic)
{
	return (struct vid_pic_state){
		.last_irr = pic->last_irr,
		.irr = pic->irr,
		.imr = pic->imr,
		.isr = pic->isr,
		.priority_add = pic->priority_add,
		.irq_base = pic->irq_base,
		.read_reg_select = pic->read_reg_select,
		.poll = pic->poll,
		.special_mask = pic->special_mask,
		.init_state = pic->init_state,
		.auto_eoi = pic->auto_eoi,
		.rotate_on_auto_eoi = pic->rotate_on_auto_eoi,
		.special_fully_nested_mode = pic->special_fully_nested_mode,
		.init4 = pic->init4,
		.elcr = pic->elcr,
	};
}

static int partition_get_chips(struct vid_partition *partition, struct vid_partition_state *state)
{
	struct kvm_irqchip chip;
	int r;

	for (size_t i = 0; i < VID_PIC_COUNT; i++) {
		r = chip_get(partition, pic_chips[i], &chip);
		if (r < 0)
			return r;
		state->pics[i] = pic_from_kvm(&chip.chip.pic);
	}
	r = chip_get(partition, KVM_IRQCHIP_IOAPIC, &chip);
	if (r < 0)
		return r;
	state->ioapic = (struct vid_ioapic_state){ .selected = chip.chip.ioapic.ioregsel,
						   .id = chip.chip.ioapic.id,
						   .irr = chip.chip.ioapic.irr };
	for (size_t i = 0; i < VID_IOAPIC_PINS; i++)
		state->ioapic.redirections[i] = chip.chip.ioapic.redirtbl[i].bits;
	return 0;
}

int vid_partition_save(struct vid_partition *partition, struct state_writer *writer,
		       const char *record)
{
	struct vid_partition_state state = { .clock_ns = partition->time.clock_ns,
					     .host_tsc = partition->time.host_tsc };
	struct vid_clock clock;
	int r = 0;

	if (!partition->time.waits) {
		r = vid_partition_clock(partition, &clock);
		state.clock_ns = clock.ns;
		state.host_tsc = clock.host_tsc;
	}
	if (r == 0)
		r = partition_get_chips(partition, &state);
	if (r < 0)
		return r;
	state_begin(writer, record, VID_PARTITION_STATE_VERSION);
	state_put(writer, &state, sizeof(state));
	state_end(writer);
	return state_writer_error(writer);
}

/* ---- Restoring ---- */

/* What is KVM's alone (which inputs of a PIC can be levels) stays. */
static void pic_to_kvm(const struct vid_pic_state *state, struct kvm_pic_state *pic)
{
	*pic = (struct kvm_pic_state){
		.last_irr = state->last_irr,
		.irr = state->irr,
		.imr = state->imr,
		.isr = state->isr,
		.priority_add = state->priority_add,
		.irq_base = state->irq_base,
		.read_reg_select = state->read_reg_select,
		.poll = state->poll,
		.special_mask = state->special_mask,
		.init_state = state->init_state,
		.auto_eoi = state->auto_eoi,
		.rotate_on_auto_eoi = state->rotate_on_auto_eoi,
		.special_fully_nested_mode = state->special_fully_nested_mode,
		.init4 = state->init4,
		.elcr = state->elcr & pic->elcr_mask,
		.elcr_mask = pic->elcr_mask,
	};
}

/* Flags are flags, and KVM takes numbers of lines and steps as they are. */
static bool pic_is_valid(const struct vid_pic_state *pic)
{
	const uint8_t flags[] = { pic->read_reg_select,
				  pic->poll,
				  pic->special_mask,
				  pic->auto_eoi,
				  pic->rotate_on_auto_eoi,
				  pic->special_fully_nested_mode,
				  pic->init4 };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i] > 1)
			return false;
	return pic->priority_add < 8 && pic->irq_base % 8 == 0 && pic->init_state <= 3 &&
	       pic->zero == 0;
}

#define IOAPIC_ID_VALID      0xfu
#define REDIRECTION_RESERVED UINT64_C(0x0000fffffffe0000)

static bool ioapic_is_valid(const struct vid_ioapic_state *ioapic)
{
	for (size_t i = 0; i < VID_IOAPIC_PINS; i++)
		if (ioapic->redirections[i] & REDIRECTION_RESERVED)
			return false;
	return ioapic->selected <= UINT8_MAX && ioapic->id <= IOAPIC_ID_VALID &&
	       ioapic->irr >> VID_IOAPIC_PINS == 0 && ioapic->zero == 0;
}

/*
 * The kernel counts nanoseconds in 63 bits, and adds what has gone by. A clock of a century has not
 * been.
 */
#define CLOCK_MAX (UINT64_C(1) << 62)

static int partition_check(const struct vid_partition_state *state, const char *record,
			   struct state_refusal *refusal)
{
	for (size_t i = 0; i < VID_PIC_COUNT; i++)
		if (!pic_is_valid(&state->pics[i]))
			return state_refuse(refusal,
					    "PIC %zu of '%s' is in a state that there is not", i,
					    record);
	if (!ioapic_is_valid(&state->ioapic))
		return state_refuse(refusal, "the IOAPIC of '%s' is in a state that there is not",
				    record);
	if (state->clock_ns > CLOCK_MAX)
		return state_refuse(refusal, "the clock of '%s' is beyond its end", record);
	return 0;
}

static int partition_set_chips(struct vid_partition *partition,
			       const struct vid_partition_state *state)
{
	struct kvm_irqchip chip;
	int r;

	for (size_t i = 0; i < VID_PIC_COUNT; i++) {
		r = chip_get(partition, pic_chips[i], &chip);
		if (r < 0)
			return r;
		pic_to_kvm(&state->pics[i], &chip.chip.pic);
		r = chip_set(partition, &chip);
		if (r < 0)
			return r;
	}
	chip = (struct kvm_irqchip){
		.chip_id = KVM_IRQCHIP_IOAPIC,
		.chip.ioapic = { .base_address = IOAPIC_ADDRESS,
				 .ioregsel = state->ioapic.selected,
				 .id = state->ioapic.id,
				 .irr = state->ioapic.irr },
	};
	for (size_t i = 0; i < VID_IOAPIC_PINS; i++)
		chip.chip.ioapic.redirtbl[i].bits = state->ioapic.redirections[i];
	return chip_set(partition, &chip);
}

int vid_partition_restore(struct vid_partition *partition, const struct state_reader *reader,
			  const char *name, struct state_refusal *refusal)
{
	struct vid_partition_state state;
	struct state_record record;
	int r = state_find(reader, name, VID_PARTITION_STATE_VERSION, &record);

	if (r == 0)
		r = state_get(&record, &state, sizeof(state));
	if (r == 0 && record.left != 0)
		r = STATE_E_INVALID;
	if (r != 0)
		return state_refuse(refusal, "'%s' %s", name, state_error_text(r));
	r = partition_check(&state, name, refusal);
	if (r < 0)
		return r;
	r = partition_set_chips(partition, &state);
	if (r < 0)
		return r;
	partition->time = (struct vid_partition_time){ .waits = true,
						       .clock_ns = state.clock_ns,
						       .host_tsc = state.host_tsc };
	return 0;
}

/* ---- The clock ---- */

static int clock_set(struct vid_partition *partition, uint64_t ns)
{
	struct kvm_clock_data clock = { .clock = ns };

	return ioctl(partition->fd, KVM_SET_CLOCK, &clock) < 0 ? -errno : 0;
}

int vid_partition_set_clock(struct vid_partition *partition, uint64_t ns)
{
	return clock_set(partition, ns);
}

/*
 * What the clock is after it was set, together with the host's TSC, is what all vps' TSCs are
 * reckoned from: they stay together.
 */
int vid_partition_start(struct vid_partition *partition)
{
	struct vid_partition_time *time = &partition->time;
	struct vid_clock clock;
	int r;

	if (!time->waits)
		return 0;
	r = clock_set(partition, time->clock_ns);
	if (r == 0)
		r = vid_partition_clock(partition, &clock);
	if (r < 0)
		return r;
	time->start_ns = clock.ns;
	time->start_tsc = clock.host_tsc;
	time->waits = false;
	return 0;
}
