namespace Millrace.Tests.Tidy;

/// <summary>
/// The repository as it is. <see cref="TidyCheckTests"/> shows that each check finds what it is to find.
/// </summary>
public sealed class TidyTests
{
    private static readonly Lazy<IReadOnlyList<RepositoryFile>> AllSources = new(Repository.Sources);
    private static readonly Lazy<IReadOnlyList<RepositoryFile>> AllDocuments = new(Repository.Documents);

    [Fact]
    public void A_slice_mentions_only_the_slices_listed_for_it()
    {
        var arrows = SliceArrows.Read(Repository.File("ARCHITECTURE.md").Text);

        arrows.Slices.Count.ShouldBeGreaterThan(10);
        Nothing(arrows.Offences(Repository.Slices()));
    }

    [Fact]
    public void Files_have_at_most_800_lines() => Nothing(SourceChecks.LongFiles(AllSources.Value));

    [Fact]
    public void Lines_have_at_most_120_columns() => Nothing(SourceChecks.LongLines(AllSources.Value));

    [Fact]
    public void Methods_have_at_most_70_lines() => Nothing(SourceChecks.LongMethods(AllSources.Value));

    [Fact]
    public void Types_are_named_for_what_they_are() => Nothing(SourceChecks.BannedTypeNames(AllSources.Value));

    [Fact]
    public void Nothing_unfinished_sleeping_or_printing_is_left_in_the_product() =>
        Nothing(SourceChecks.Leftovers(Repository.Slices()));

    [Fact]
    public void Sources_have_no_licence_banners_and_no_regions() =>
        Nothing(SourceChecks.BannersAndRegions(AllSources.Value));

    [Fact]
    public void The_banned_symbols_are_checked_in_every_project_of_the_product()
    {
        var props = Repository.File("Directory.Build.props").Text;
        props.ShouldContain("<PackageReference Include=\"Microsoft.CodeAnalysis.BannedApiAnalyzers\"");
        props.ShouldContain("<AdditionalFiles Include=\"$(MSBuildThisFileDirectory)BannedSymbols.txt\"");
        props.ShouldContain("<TreatWarningsAsErrors>true</TreatWarningsAsErrors>");
        foreach (var project in (string[])["src/Millrace", "src/Millrace.Server"])
        {
            Repository.File($"{project}/packages.lock.json").Text
                .ShouldContain("\"Microsoft.CodeAnalysis.BannedApiAnalyzers\"");
        }
        var banned = Repository.File("BannedSymbols.txt").Text;
        foreach (var symbol in (string[])["DateTime.UtcNow;", "Thread.Sleep(", "String.GetHashCode;", "Random.Shared;"])
        {
            banned.ShouldContain(symbol);
        }
        Nothing(SourceChecks.SilencedAnalyzer(
            [.. AllSources.Value, Repository.File(".editorconfig"), Repository.File("Directory.Build.props")]));
    }

    [Fact]
    public void A_document_has_one_title() => Nothing(DocumentChecks.TitleCounts(AllDocuments.Value));

    [Fact]
    public void Links_in_documents_lead_somewhere() => Nothing(DocumentChecks.BrokenLinks(
        AllDocuments.Value, Repository.Exists, path => Repository.File(path).Text));

    [Fact]
    public void Metrics_that_documents_speak_of_are_described() => Nothing(
        DocumentChecks.UnknownMetrics(AllDocuments.Value, Repository.File("docs/metrics.md").Text));

    private static void Nothing(IEnumerable<string> offences)
    {
        var all = offences.ToList();
        all.ShouldBeEmpty($"{all.Count} offences:\n{string.Join('\n', all)}\n");
    }
}
