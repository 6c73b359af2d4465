namespace Millrace.Placement;

/// <summary>A set of label names: a list, or all but a list.</summary>
internal sealed class KeyLabels
{
    private readonly HashSet<string> _names;
    private readonly bool _isAllBut;

    private KeyLabels(HashSet<string> names, bool isAllBut) => (_names, _isAllBut) = (names, isAllBut);

    public static KeyLabels Only(IEnumerable<string> names) => new([.. names], isAllBut: false);

    public static KeyLabels AllBut(IEnumerable<string> names) => new([.. names], isAllBut: true);

    public bool IsAllBut => _isAllBut;

    public bool IsEmpty => !_isAllBut && _names.Count == 0;

    /// <summary>The names of the list, sorted.</summary>
    public string[] Names
    {
        get
        {
            string[] names = [.. _names];
            Array.Sort(names, string.CompareOrdinal);
            return names;
        }
    }

    public bool Contains(string name) => _names.Contains(name) != _isAllBut;

    public KeyLabels Intersect(KeyLabels other)
    {
        var names = new HashSet<string>(_names);
        switch (_isAllBut, other._isAllBut)
        {
            case (true, true):
                names.UnionWith(other._names);
                return new KeyLabels(names, isAllBut: true);
            case (true, false):
                return other.Intersect(this);
            default:
                names.RemoveWhere(name => !other.Contains(name));
                return new KeyLabels(names, isAllBut: false);
        }
    }

    /// <summary>Whether whatever labels there may be of this set are in the other, too.</summary>
    public bool IsSubsetOf(KeyLabels other) => (_isAllBut, other._isAllBut) switch
    {
        (true, true) => other._names.IsSubsetOf(_names),
        (true, false) => false,
        (false, true) => !_names.Overlaps(other._names),
        (false, false) => _names.IsSubsetOf(other._names),
    };
}
