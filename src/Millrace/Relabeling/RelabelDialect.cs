namespace Millrace.Relabeling;

/// <summary>
/// Whose relabeling it is where Prometheus and vmagent give the same action different results. Actions and keys that
/// only one of them has work in both. The differences, all of which have a case in tests/cases/relabel:
/// <list type="bullet">
/// <item><c>hashmod</c>: MD5 in Prometheus, XXH64 in vmagent.</item>
/// <item>A label set to the empty text is gone at once in Prometheus. In vmagent it stays, empty, until all rules
/// have run: it is copied by <c>labelmap</c>, and the series still counts as having labels.</item>
/// <item>A series without labels is dropped at the end in Prometheus, and at once in vmagent.</item>
/// <item>Regex <c>.*</c> without a group: <c>$1</c> is empty in Prometheus; vmagent takes it for the default
/// <c>(.*)</c>, so <c>$1</c> is the whole value.</item>
/// <item><c>{{label}}</c> in a replacement is vmagent's: there a <c>$</c> in the label's value is a reference too;
/// under Prometheus' dialect values are only values.</item>
/// <item><c>labelmap</c> onto a label that is there: in Prometheus labels set by earlier rules come last and win, in
/// vmagent the order is that of arrival.</item>
/// <item>Validation: Prometheus refuses keys an action does not use where vmagent ignores them, and vmagent refuses
/// missing <c>source_labels</c> where Prometheus takes the empty text.</item>
/// </list>
/// Not copied are slips of vmagent that nobody can rely on: it cuts literal prefixes off a regex before matching, so
/// that a <c>\b</c> or <c>\B</c> behind one sees no character before it; it drops every <c>^</c> inside a regex; and
/// its expansion, unlike its matching, does not let the dot match a line break.
/// </summary>
public enum RelabelDialect
{
    Prometheus,
    VmAgent,
}
