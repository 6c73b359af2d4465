// Each test starts several real processes and lives by the real clock: one at a time.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
