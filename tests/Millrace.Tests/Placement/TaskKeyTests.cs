using System.Text;
using Millrace.Model;
using Millrace.Placement;

namespace Millrace.Tests.Placement;

public sealed class TaskKeyTests
{
    private static readonly LabelSet Api = LabelSet.Of(
        ("__name__", "http_requests_total"), ("job", "api"), ("instance", "10.0.0.1:8080"), ("pod", "api-7f9c"),
        ("code", "200"));

    [Fact]
    public void The_task_of_a_series_is_the_same_in_every_release()
    {
        TaskOf(new TaskKeyConfig { By = ["job"] }, Api).ShouldBe(7);
        TaskOf(new TaskKeyConfig { Without = ["pod", "instance"] }, Api).ShouldBe(124);
        TaskOf(new TaskKeyConfig(), Api).ShouldBe(79);
        TaskOf(new TaskKeyConfig { Count = 4096, By = ["job"], Without = ["__name__"] }, Api).ShouldBe(2641);
        TaskOf(new TaskKeyConfig { Count = 4096, By = [] }, LabelSet.Of(("__name__", "häuser"))).ShouldBe(1527);
    }

    [Fact]
    public void The_key_is_what_its_documentation_says()
    {
        // Each name and value as a length of four bytes and its UTF-8, in the order of the names.
        byte[] key =
        [
            8, 0, 0, 0, .. "__name__"u8, 19, 0, 0, 0, .. "http_requests_total"u8,
            3, 0, 0, 0, .. "job"u8, 3, 0, 0, 0, .. "api"u8,
        ];

        TaskOf(new TaskKeyConfig { By = ["job"] }, Api).ShouldBe((int)(StableHash.Hash128(key) % 128));
    }

    [Fact]
    public void A_list_of_labels_and_all_but_the_others_agree()
    {
        var by = new TaskKey(new TaskKeyConfig { By = ["code", "job"] });
        var otherOrder = new TaskKey(new TaskKeyConfig { By = ["job", "code"] });
        var without = new TaskKey(new TaskKeyConfig { Without = ["pod", "instance", "le"] });
        for (var i = 0; i < 1000; i++)
        {
            var series = LabelSet.Of(
                ("__name__", $"m{i % 7}"), ("job", $"j{i % 31}"), ("code", $"{i % 5}"), ("pod", $"p{i}"),
                ("instance", $"h{i}"), ("le", $"{i % 3}"));

            without.TaskOf(series).ShouldBe(by.TaskOf(series));
            otherOrder.TaskOf(series).ShouldBe(by.TaskOf(series));
        }
    }

    [Fact]
    public void Labels_outside_the_key_do_not_matter_and_those_in_it_do()
    {
        var key = new TaskKey(new TaskKeyConfig { Count = 4096, By = ["job"] });
        var (tasksOfPods, tasksOfJobs) = (new HashSet<int>(), new HashSet<int>());
        for (var i = 0; i < 100; i++)
        {
            tasksOfPods.Add(key.TaskOf(LabelSet.Of(("__name__", "m"), ("job", "api"), ("pod", $"{i}"))));
            tasksOfJobs.Add(key.TaskOf(LabelSet.Of(("__name__", "m"), ("job", $"{i}"))));
        }

        tasksOfPods.Count.ShouldBe(1);
        tasksOfJobs.Count.ShouldBeGreaterThan(90);
    }

    [Fact]
    public void Where_one_text_ends_and_the_next_begins_matters()
    {
        LabelSet[] alike =
        [
            LabelSet.Of(("a", "b")), LabelSet.Of(("b", "a")), LabelSet.Of(("ab", "c")), LabelSet.Of(("a", "bc")),
            LabelSet.Of(("a", "b"), ("c", "d")), LabelSet.Of(("a", "bcd")), LabelSet.Of(("ab", "cd")),
            LabelSet.Of(("a", "d"), ("c", "b")), LabelSet.Of(("a", "b\0c")), LabelSet.Of(("a", "b"), ("c", "d|e=f")),
            LabelSet.Of(("a", "b"), ("c", "d"), ("e", "f")), LabelSet.Of(("a", "b|c=d"), ("e", "f")),
        ];
        var key = new TaskKey(new TaskKeyConfig());

        alike.Select(series => key.KeyOf(series).StableKey()).Distinct().Count().ShouldBe(alike.Length);
        alike.Select(key.TaskOf).Distinct().Count().ShouldBeGreaterThan(alike.Length - 3);
    }

    [Fact]
    public void Series_without_any_listed_label_are_spread_unless_rules_need_them_together()
    {
        var spread = new TaskKey(new TaskKeyConfig { By = ["job"] });
        var together = new TaskKey(new TaskKeyConfig { By = ["job"], Missing = MissingLabels.KeepKey });
        var (spreadTasks, keptTasks) = (new int[128], new HashSet<int>());
        for (var i = 0; i < 12_800; i++)
        {
            var series = LabelSet.Of(("__name__", "m"), ("device", $"sd{i}"));
            spreadTasks[spread.TaskOf(series)]++;
            keptTasks.Add(together.TaskOf(series));
        }

        spreadTasks.Min().ShouldBeGreaterThan(50);
        spreadTasks.Max().ShouldBeLessThan(150);
        keptTasks.ShouldHaveSingleItem();
    }

    [Fact]
    public void A_key_that_is_the_name_alone_is_one_on_purpose()
    {
        var key = new TaskKey(new TaskKeyConfig { By = [] });

        key.KeyOf(Api).ShouldBe(LabelSet.Of(("__name__", "http_requests_total")));
    }

    [Fact]
    public void Gateways_behind_each_other_come_to_the_same_task()
    {
        foreach (var config in (TaskKeyConfig[])[
            new() { Label = "stream_task_id" }, new() { Label = "stream_task_id", Without = ["pod"] },
            new() { Label = "stream_task_id", By = ["stream_task_id", "job"] },
            new() { Label = "stream_task_id", By = ["nobody_has_it"] }])
        {
            var key = new TaskKey(config);
            var task = key.TaskOf(Api);

            key.TaskOf(key.WithTask(Api, task)).ShouldBe(task);
            key.TaskOf(key.WithTask(Api, (task + 1) % 128)).ShouldBe(task);
        }
    }

    [Theory]
    [InlineData("stream_task_id", "{__name__=m,aa=1,stream_task_id=7,zz=2}")]
    [InlineData("a", "{__name__=m,a=7,aa=1,zz=2}")]
    [InlineData("A", "{A=7,__name__=m,aa=1,zz=2}")]
    [InlineData("zzz", "{__name__=m,aa=1,zz=2,zzz=7}")]
    [InlineData("aa", "{__name__=m,aa=7,zz=2}")]
    [InlineData("zz", "{__name__=m,aa=1,zz=7}")]
    public void The_label_of_the_task_is_sorted_in_once(string label, string expected)
    {
        var key = new TaskKey(new TaskKeyConfig { Label = label });
        var series = LabelSet.Of(("__name__", "m"), ("aa", "1"), ("zz", "2"));

        Text(key.WithTask(series, 7)).ShouldBe(expected);
        Text(key.WithTask(key.WithTask(series, 3), 7)).ShouldBe(expected);
    }

    [Fact]
    public void The_label_can_be_taken_off_again()
    {
        var key = new TaskKey(new TaskKeyConfig { Label = "stream_task_id" });

        key.WithoutTask(key.WithTask(Api, 5)).ShouldBe(Api);
        key.WithoutTask(Api).ShouldBeSameAs(Api);
    }

    [Fact]
    public void Without_a_label_series_stay_as_they_are() =>
        new TaskKey(new TaskKeyConfig()).WithTask(Api, 5).ShouldBeSameAs(Api);

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(128)]
    [InlineData(4096)]
    public void There_are_never_more_tasks_than_configured(int count)
    {
        var key = new TaskKey(new TaskKeyConfig { Count = count });
        for (var i = 0; i < 5000; i++)
        {
            key.TaskOf(LabelSet.Of(("a", $"{i}"))).ShouldBeInRange(0, count - 1);
        }
    }

    [Fact]
    public void What_cannot_be_a_key_is_said()
    {
        new TaskKeyConfig { Count = 0 }.Problem()!.ShouldContain("count is 0");
        new TaskKeyConfig { Count = 4097 }.Problem()!.ShouldContain("between 1 and 4096");
        new TaskKeyConfig { By = ["a"], Without = ["b"] }.Problem()!.ShouldContain("exclude each other");
        new TaskKeyConfig { By = [], Without = ["__name__"] }.Problem()!.ShouldContain("no label");
        new TaskKeyConfig { Label = "" }.Problem()!.ShouldContain("label is \"\"");
        new TaskKeyConfig { Label = "__name__" }.Problem()!.ShouldContain("__name__");
        new TaskKeyConfig { By = ["a"], Without = ["__name__"], Label = "t" }.Problem().ShouldBeNull();
    }

    private static int TaskOf(TaskKeyConfig config, LabelSet series) => new TaskKey(config).TaskOf(series);

    private static string Text(LabelSet series)
    {
        var text = new StringBuilder("{");
        foreach (var label in series.Labels)
        {
            text.Append(text.Length > 1 ? "," : "").Append(label.Name).Append('=').Append(label.Value);
        }
        return text.Append('}').ToString();
    }
}
