/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs, how far they are, and their ends. */
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Progress, ProgressMeasureLocation } from "@patternfly/react-core/dist/esm/components/Progress";
import { Title } from "@patternfly/react-core/dist/esm/components/Title";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table/dist/esm/components/Table";

import { bytes, explain } from "./format";
import { Item, JOB } from "./service";
import { _, Failure, Question, service, StateLabel, useDialogs, useService, when } from "./shared";

function JobProgress({ job }: { job: Item }) {
    if (!["running", "waiting"].includes(job.State)) {
        const [name, message] = job.Error || ["", ""];
        return name ? <span className="text">{message} <small>{explain({ name }).kind}</small></span> : null;
    }
    if (!job.Total)
        return <>{_("under way")}</>;
    return (
        <Progress value={100 * job.Done / job.Total} size="sm" measureLocation={ProgressMeasureLocation.outside}
            aria-label={cockpit.format(_("Progress of job $0"), job.Id)}
            valueText={cockpit.format(_("$0 of $1"), bytes(job.Done), bytes(job.Total))}
            label={cockpit.format(_("$0 of $1"), bytes(job.Done), bytes(job.Total))} />
    );
}

export function Jobs({ jobs }: { jobs: Item[] }) {
    const show = useDialogs();
    const cancel = (job: Item) => service.call(job.path, JOB, "Cancel").catch(why => show(
        <Question title={_("Cancel")} label={_("Close")} act={async () => {}}><Failure error={why} /></Question>));
    return (
        <Table aria-label={_("Jobs")} variant="compact">
            <Thead>
                <Tr>
                    <Th>{_("Job")}</Th><Th>{_("Machine")}</Th><Th>{_("State")}</Th><Th>{_("Began")}</Th><Th width={30}>{_("Progress")}</Th>
                    <Th screenReaderText={_("Actions")} />
                </Tr>
            </Thead>
            <Tbody>
                {jobs.map(job => (
                    <Tr key={job.path} data-job={job.Kind}>
                        <Td dataLabel={_("Job")}>{job.Id}: {job.Kind}</Td>
                        <Td dataLabel={_("Machine")}>{job.VMName}</Td>
                        <Td dataLabel={_("State")}><StateLabel state={job.State} /></Td>
                        <Td dataLabel={_("Began")}>{when(job.StartedAt)}</Td>
                        <Td dataLabel={_("Progress")}><JobProgress job={job} /></Td>
                        <Td className="actions">
                            {job.Cancellable &&
                                <Button variant="secondary" size="sm" onClick={() => cancel(job)}
                                    aria-label={cockpit.format(_("Cancel job $0"), job.Id)}>{_("Cancel")}</Button>}
                        </Td>
                    </Tr>
                ))}
            </Tbody>
        </Table>
    );
}

export function JobList() {
    const jobs = useService().items(JOB).sort((a, b) => b.Id - a.Id);
    return (
        <>
            <Title headingLevel="h1">{_("Jobs")}</Title>
            {jobs.length ? <Jobs jobs={jobs} /> : <p>{_("There are none. Those that have ended are kept for some minutes.")}</p>}
        </>
    );
}
